import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { build, preview } from 'vite'
import { API_KEY, SECRET, startTestApp, type TestApp } from '../support/app.ts'
import { startBrowser } from '../support/browser.ts'
import { freePort } from '../support/free-port.ts'
import { blocksOf, filesOf } from '../support/markdown.ts'
import { createProject, findNode, type Project } from '../support/project.ts'
import { connectionsOf, eventually, send } from '../support/visit.ts'

const ROOT = join(import.meta.dir, '../..')
const DOCS = join(ROOT, 'docs/clients')
const START_MS = 60_000
const TEST_MS = 60_000

/** Pages of `docs/clients` with the packages of their projects, beside `ara-client`. */
const BUILT = [
  { name: 'react', packages: ['react', 'react-dom', 'scheduler'], server: 'src/server.jsx' },
  { name: 'vue', packages: ['vue', '@vitejs/plugin-vue'], server: 'src/server.js' },
  { name: 'svelte', packages: ['svelte', '@sveltejs/vite-plugin-svelte'], server: 'src/server.js' },
]

const ACCOUNT = `
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { Account } from './Account.jsx'
const users = ['ann', 'bob']
createRoot(document.getElementById('root')).render(<StrictMode><Account users={users} /></StrictMode>)`

let browser: Browser
let service: TestApp

beforeAll(async () => {
  service = await startTestApp({ QUEUE_ENABLED: 'true' })
  browser = await startBrowser({ host: 'localhost:8081', port: service.port })
}, START_MS)

afterAll(async () => {
  await browser.close()
  await service[Symbol.asyncDispose]()
})

interface RunningProject extends AsyncDisposable {
  readonly folder: string
  readonly run: Project['run']
  /** Address of its `server.js`. */
  readonly url: string
}

/** Creates the project that a page describes, for its own user, and runs `node server.js`. */
async function startProject(name: string, packages: readonly string[] = []): Promise<RunningProject> {
  const port = await freePort()
  const files = filesOf(await Bun.file(join(DOCS, `${name}.md`)).text())
  const own = (text: string) => text.replaceAll('3000', String(port)).replaceAll('u-7', name)
  const project = await createProject(
    Object.fromEntries(Object.entries(files).map(([path, text]) => [path, own(text)])),
    packages,
  )
  const child = Bun.spawn([findNode(), 'server.js'], {
    cwd: project.folder,
    env: { ...process.env, JWT_SECRET: SECRET },
    stdout: 'inherit',
    stderr: 'inherit',
    timeout: TEST_MS,
  })
  const url = `http://localhost:${port}/`
  await eventually(async () => (await fetch(url).catch(() => null)) !== null, START_MS)
  return {
    folder: project.folder,
    run: project.run,
    url,
    [Symbol.asyncDispose]: async () => {
      child.kill()
      await child.exited
      await project[Symbol.asyncDispose]()
    },
  }
}

interface Site extends AsyncDisposable {
  readonly url: string
}

/** Serves the built project as `vite preview` does, with the proxy of its own configuration. */
async function serveBuild(folder: string, outDir = 'dist'): Promise<Site> {
  const port = await freePort()
  const options = { build: { outDir }, preview: { port, strictPort: true } }
  const server = await preview({ root: folder, logLevel: 'error', ...options })
  return { url: `http://localhost:${port}/`, [Symbol.asyncDispose]: () => server.close() }
}

const LONG = 'x'.repeat(60_000)

const invoice = (user: string, no: number, text = '') =>
  send(service, user, { no, text }, { event_type: 'invoice.paid' })

const subscribers = async (): Promise<number> => (await service.get('/api/v1/channels')).json.total_channels

const becomes = (page: Page, selector: string, text: string): Promise<void> =>
  page.locator(selector).getByText(text, { exact: true }).waitFor()

/** Opens the page of a new visitor, and notes what it complains about. */
async function openPage(url: string, complaints: string[]): Promise<Page> {
  const context = await browser.newContext()
  const page = await context.newPage()
  page.on('pageerror', error => complaints.push(error.message))
  page.on('console', message => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
  })
  await page.route('**/favicon.ico', route => route.fulfill({ status: 204 }))
  await page.goto(url)
  return page
}

/** Sends as the page of the user says. */
async function typeCommands(user: string): Promise<void> {
  const blocks = blocksOf(await Bun.file(join(DOCS, `${user}.md`)).text())
  const commands = blocks.flatMap(({ text }) => text.match(/^npx -y bun@\S+ src\/main.ts .*$/gm) ?? [])
  expect(commands).toHaveLength(2)
  for (const command of commands) {
    const line = command.replace(/^npx -y bun@\S+/, `"${process.execPath}"`).replace('u-7', user)
    const env = { ...process.env, SERVER_PORT: String(service.port), API_KEY }
    const child = Bun.spawn(['sh', '-c', line], { cwd: ROOT, env, stdout: 'ignore', timeout: TEST_MS })
    expect(await child.exited).toBe(0)
  }
}

/** Does what a user would, on the page of any framework. */
async function tour(url: string, user: string): Promise<void> {
  const complaints: string[] = []
  const [first, second] = [await invoice(user, 1), await invoice(user, 2)]
  expect([first.status, second.status]).toEqual(['queued', 'queued'])
  const page = await openPage(url, complaints)
  await becomes(page, '#status', 'online')
  await becomes(page, '#bell b', '2')
  await invoice(user, 3)
  await becomes(page, '#bell b', '3')
  expect(await page.locator('li').allTextContents()).toEqual(['Invoice 3', 'Invoice 2', 'Invoice 1'])
  await page.click('#bell')
  await page.locator('#bell b').waitFor({ state: 'hidden' })

  await eventually(async () => (await subscribers()) === 1)
  await typeCommands(user)
  await becomes(page, '#room', 'room.1: hello')
  await becomes(page, 'li >> nth=0', 'Invoice 42')
  await page.click('#bell')
  await page.click('#leave')
  await page.locator('#room').waitFor({ state: 'detached' })
  await eventually(async () => (await subscribers()) === 0)

  // More than one answer of the log holds.
  for (let no = 4; no < 24; no++) await invoice(user, no, LONG)
  await page.reload()
  await becomes(page, '#status', 'online')
  await invoice(user, 24)
  await becomes(page, '#bell b', '21')
  const numbers = [...Array.from({ length: 21 }, (_, n) => 24 - n), 42, 3, 2, 1]
  expect(await page.locator('li').allTextContents()).toEqual(numbers.map(no => `Invoice ${no}`))
  expect(complaints).toEqual([])
  await page.context().close()
}

describe.each(BUILT)('the page for $name', ({ name, packages, server }) => {
  let project: RunningProject

  beforeAll(async () => {
    project = await startProject(name, packages)
    await build({ root: project.folder, logLevel: 'error' })
  }, START_MS)

  afterAll(() => project[Symbol.asyncDispose]())

  test(
    'shows a list with a badge, a channel and the state, and leaves the channel when it unmounts',
    async () => {
      await using site = await serveBuild(project.folder)
      await tour(site.url, name)
    },
    TEST_MS,
  )

  test(
    'is rendered on a server without connecting, and taken over by the browser',
    async () => {
      const { folder } = project
      await build({ root: folder, logLevel: 'error', build: { ssr: server, outDir: 'rendered' } })
      const run = `import { render } from './rendered/server.js'\nconsole.log(await render())`
      await Bun.write(join(folder, 'render.js'), run)
      const html = await project.run('render.js')
      expect(html).toContain('idle')
      const index = Bun.file(join(folder, 'dist/index.html'))
      await index.write((await index.text()).replace('<div id="root">', `<div id="root">${html}`))
      await using site = await serveBuild(folder)
      const complaints: string[] = []
      const page = await openPage(site.url, complaints)
      await becomes(page, '#status', 'online')
      expect(await page.locator('#status').count()).toBe(1)
      expect(complaints).toEqual([])
      await page.context().close()
    },
    TEST_MS,
  )
})

test(
  'the React page for signing in and out gives each user a client of their own, in StrictMode',
  async () => {
    await using project = await startProject('react', ['react', 'react-dom', 'scheduler'])
    const { folder } = project
    await Bun.write(join(folder, 'src/main.jsx'), ACCOUNT)
    // StrictMode acts in development only.
    await build({ root: folder, logLevel: 'error', mode: 'development', build: { outDir: 'account' } })
    await using site = await serveBuild(folder, 'account')
    const complaints: string[] = []
    const page = await openPage(site.url, complaints)
    await becomes(page, '#latest', 'idle')
    for (const [no, user] of ['ann', 'bob', 'ann'].entries()) {
      await page.route('**/token', async route => route.fulfill({ body: await service.token(user) }))
      await page.getByRole('button', { name: user }).click()
      await becomes(page, '#latest', 'online')
      await eventually(
        async () => (await connectionsOf(service, 'ann')) + (await connectionsOf(service, 'bob')) === 1,
      )
      await invoice(user, no)
      await becomes(page, '#latest', `online ${no}`)
    }
    await page.getByRole('button', { name: 'Sign out' }).click()
    await becomes(page, '#latest', 'idle')
    await eventually(async () => (await connectionsOf(service, 'ann')) === 0)
    expect(complaints).toEqual([])
    await page.context().close()
  },
  TEST_MS,
)

test(
  'the page without a build does the same as it is',
  async () => {
    await using project = await startProject('plain')
    await tour(project.url, 'plain')
  },
  TEST_MS,
)
