import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { build } from 'vite'
import { scripts } from '../../package.json' with { type: 'json' }
import { API_KEY, startTestApp, type TestApp } from '../support/app.ts'
import { startBrowser } from '../support/browser.ts'
import { blocksOf } from '../support/markdown.ts'
import { findNode } from '../support/project.ts'
import { eventually, send } from '../support/visit.ts'

const ROOT = join(import.meta.dir, '../..')
const TEST_MS = 60_000

let home: string
let tarball: string
let service: TestApp

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'ara-projects-'))
  const [, command = ''] = scripts['client:pack'].split(' && bun ')
  tarball = await run([process.execPath, ...command.split(' '), home], ROOT)
  service = await startTestApp({ QUEUE_ENABLED: 'true' })
}, TEST_MS)

afterAll(async () => {
  await service[Symbol.asyncDispose]()
  await rm(home, { recursive: true })
})

async function run(command: readonly string[], cwd: string): Promise<string> {
  const child = Bun.spawn([...command], {
    cwd,
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    timeout: TEST_MS,
  })
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}: ${out}${err}`)
  return out.trim()
}

/** An empty project with the tarball as its only package, and these files. */
async function project(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(join(home, 'project-'))
  await Bun.write(join(folder, 'package.json'), JSON.stringify({ type: 'module', private: true }))
  await run([process.execPath, 'add', tarball], folder)
  for (const [path, text] of Object.entries(files)) await Bun.write(join(folder, path), text)
  return folder
}

/** Installs packages of this repository in a project. */
async function link(folder: string, ...names: readonly string[]): Promise<void> {
  for (const name of names) {
    const path = join(folder, 'node_modules', name)
    await mkdir(dirname(path), { recursive: true })
    await symlink(join(ROOT, 'node_modules', name), path)
  }
}

test('the tarball holds the built client, its declarations, its licence and a README, and nothing else', async () => {
  const folder = await project({})
  const installed = join(folder, 'node_modules/ara-client')
  const paths = [...new Bun.Glob('**/*').scanSync(installed)].sort()
  expect(paths.filter(path => !/^dist\/.*\.d\.ts$/.test(path))).toEqual([
    'LICENSE',
    'README.md',
    'dist/index.js',
    'dist/react/index.js',
    'dist/server/index.js',
    'package.json',
  ])
  const editorsShow = async (path: string, text: string) =>
    expect(await Bun.file(join(installed, path)).text()).toContain(text)
  await editorsShow('dist/react/index.d.ts', '/** Subscribes to a channel while the component is mounted')
  await editorsShow('dist/client.d.ts', '/** Creates a client.')
})

/** Sends to itself, and prints what comes and by which transport. */
const program = async (user: string): Promise<string> => `
import { createClient } from 'ara-client'
import { createServerClient } from 'ara-client/server'
const url = '${service.url}'
const ara = createClient({ url, token: () => '${await service.token(user)}' })
await ara.ready({ timeout: 10000 })
await createServerClient({ url, apiKey: '${API_KEY}' }).user('${user}', { event_type: 'e', payload: { no: 1 } })
for await (const { payload } of ara) {
  console.log(JSON.stringify({ payload, transport: ara.connection.transport }))
  break
}
ara.close()`

test(
  'in Node, and the process ends by itself after `close`',
  async () => {
    const folder = await project({ 'main.js': await program('node') })
    const { payload, transport } = JSON.parse(await run([findNode(), 'main.js'], folder))
    expect(payload).toEqual({ no: 1 })
    expect(['websocket', 'sse']).toContain(transport)
  },
  TEST_MS,
)

test(
  'in CommonJS, by `require` and by `import()`',
  async () => {
    const folder = await project({
      'main.cjs': `
const { createClient } = require('ara-client')
const { createServerClient } = require('ara-client/server')
import('ara-client').then(module => console.log(typeof createServerClient, module.createClient === createClient))`,
    })
    expect(await run([findNode(), 'main.cjs'], folder)).toBe('function true')
  },
  TEST_MS,
)

test(
  'in Bun',
  async () => {
    const folder = await project({ 'main.ts': await program('bun') })
    const printed = await run([process.execPath, 'main.ts'], folder)
    expect(JSON.parse(printed)).toEqual({ payload: { no: 1 }, transport: 'websocket' })
  },
  TEST_MS,
)

describe('in a page', () => {
  /** Opens the page of a folder and sends to its user; resolves with the text that it shows. */
  async function shown(folder: string, user: string): Promise<string | null> {
    await using server = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      fetch: request => {
        const { pathname } = new URL(request.url)
        return new Response(Bun.file(join(folder, pathname === '/' ? 'index.html' : pathname)))
      },
    })
    const browser = await startBrowser({ host: 'localhost:8081', port: server.port ?? 0 })
    try {
      const page = await browser.newPage()
      await page.goto('http://localhost:8081/')
      await page.waitForFunction("document.body.textContent.includes('online')")
      await send(service, user, 'hello')
      await eventually(async () => ((await page.textContent('body')) ?? '').includes('hello'))
      return (await page.textContent('p'))?.trim() ?? null
    } finally {
      await browser.close()
    }
  }

  test(
    'without a build',
    async () => {
      const user = crypto.randomUUID()
      const folder = await project({
        'index.html': `<!doctype html><body><p></p><script type="module">
import { createClient } from './node_modules/ara-client/dist/index.js'
const shown = document.querySelector('p')
const ara = createClient({ url: '${service.url}', token: () => '${await service.token(user)}' })
ara.watch(() => { shown.textContent = ara.connection.state })
ara.on('e', ({ payload }) => { shown.textContent += ' ' + payload })
</script>`,
      })
      expect(await shown(folder, user)).toBe('online hello')
    },
    TEST_MS,
  )

  test(
    'built by Vite, with React',
    async () => {
      const user = crypto.randomUUID()
      const folder = await project({
        'index.html': '<!doctype html><body><div></div><script type="module" src="/main.js"></script>',
        'main.js': `
import { createElement, useState } from 'react'
import { createRoot } from 'react-dom/client'
import { createClient } from 'ara-client'
import { useConnection, useNotification } from 'ara-client/react'
const ara = createClient({ url: '${service.url}', token: () => '${await service.token(user)}' })
function Page() {
  const [text, show] = useState('')
  useNotification(ara, 'e', ({ payload }) => show(payload))
  return createElement('p', null, useConnection(ara).state, ' ', text)
}
createRoot(document.querySelector('div')).render(createElement(Page))`,
      })
      await link(folder, 'react', 'react-dom', 'scheduler')
      await build({ root: folder, configFile: false, logLevel: 'error' })
      expect(await shown(join(folder, 'dist'), user)).toBe('online hello')
    },
    TEST_MS,
  )
})

const TYPED = `
import { createClient, localCursor, type Client, type ConnectionState, type Notification } from 'ara-client'
import { useChannel, useConnection, useNotification } from 'ara-client/react'
import { AraError, createServerClient, type BatchResult, type SendStatus } from 'ara-client/server'

declare function useState<T>(value: T): T | null
interface Events {
  'invoice.paid': { no: number }
  'room.open': null
}

const ara: Client<Events> = createClient<Events>({
  url: '/',
  token: () => fetch('/token').then(response => response.text()),
  cursor: localCursor('ara:u1'),
})
const off: () => void = ara.on('invoice.paid', async notification => {
  const no: number = notification.payload.no
  return no
})
// @ts-expect-error: no such event
ara.on('invoice.lost', () => {})
// @ts-expect-error: no such field
ara.on('invoice.paid', ({ payload }) => payload.yes)
export async function read(): Promise<number> {
  for await (const notification of ara) {
    if (notification.is('invoice.paid')) return notification.payload.no
    if (notification.is('room.open')) return 0
  }
  return 1
}
export const state: ConnectionState = ara.connection
export const retryAt: number | undefined = ara.connection.retryAt
const show = (notification: Notification<Events, 'invoice.paid'>): number => notification.payload.no
export function Component(): string {
  useNotification(ara, 'invoice.paid', show)
  useNotification(ara, 'invoice.paid', async ({ payload }) => payload.no satisfies number)
  // @ts-expect-error: no such event
  useNotification(ara, 'invoice.lost', () => {})
  // @ts-expect-error: no such field
  useNotification(ara, 'invoice.paid', ({ payload }) => payload.yes)
  const later: Client<Events> | null = useState(ara)
  useNotification(later, 'invoice.paid', ({ payload }) => payload.no satisfies number)
  useChannel(ara, undefined)
  useChannel(later, null)
  return useConnection(later ?? undefined).state
}
const server = createServerClient<Events>({ url: '/', apiKey: 'k' })
export const sent = server.user('u', { event_type: 'invoice.paid', payload: { no: 1 }, ttl: 5 })
export const byTemplate = server.broadcast({ template_id: 't', audience: { type: 'Roles', value: ['admin'] } })
// @ts-expect-error: the payload of another event
server.user('u', { event_type: 'room.open', payload: { no: 1 } })
// @ts-expect-error: no such code
export const isMistyped = (error: AraError): boolean => error.code === 'FORBIDEN'
export const statusesOf = ({ results }: BatchResult): readonly (SendStatus | string)[] =>
  results.map(result => (result.skipped ? 'skipped' : result.code ? result.error satisfies string : result.status))
const variable: string | undefined = undefined
createServerClient({ url: '/', apiKey: variable, secret: variable, tenant: variable }).user(
  'u',
  { event_type: 'any', payload: 1, correlation_id: variable, idempotency_key: variable },
  { signal: new AbortController().signal },
)
export const isRefused = (error: unknown): boolean => error instanceof AraError && error.code === 'FORBIDDEN'
const untyped = createClient({ url: '/', token: () => '' })
untyped.on('anything', ({ payload }) => payload satisfies unknown)
ara.onGap(({ reason }) => reason === 'trimmed')
ara.close()
off()
`

test.each([
  ['node16', 'node16'],
  ['nodenext', 'nodenext'],
  ['esnext', 'bundler'],
])(
  'in strict TypeScript with module %s and moduleResolution %s, declarations included',
  async (module, moduleResolution) => {
    const options = {
      strict: true,
      exactOptionalPropertyTypes: true,
      target: 'es2022',
      lib: ['es2022', 'dom', 'dom.iterable'],
      types: [],
      module,
      moduleResolution,
      skipLibCheck: false,
      noEmit: true,
    }
    const folder = await project({
      'main.ts': TYPED,
      'tsconfig.json': JSON.stringify({ compilerOptions: options, files: ['main.ts'] }),
    })
    await run([process.execPath, join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', folder], folder)
  },
  TEST_MS,
)

test(
  'in strict TypeScript of a backend, with the types of Node instead of those of a browser',
  async () => {
    const options = { strict: true, module: 'nodenext', target: 'es2022', lib: ['es2022'], noEmit: true }
    const folder = await project({
      'main.ts': `
import { createClient } from 'ara-client'
import { createServerClient } from 'ara-client/server'
export const made = [createClient({ url: '', token: () => '' }), createServerClient({ url: '', fetch })]`,
      'tsconfig.json': JSON.stringify({ compilerOptions: { ...options, types: ['node'] } }),
    })
    await link(folder, '@types/node', 'undici-types')
    await run([process.execPath, join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', folder], folder)
  },
  TEST_MS,
)

test(
  'the samples in TypeScript of the documents compile in strict TypeScript',
  async () => {
    const read = (file: string) => Bun.file(join(ROOT, file)).text()
    const blocks = blocksOf((await read('client/README.md')) + (await read('docs/CLIENTS.md')))
    const samples = blocks.filter(({ language }) => language === 'ts')
    const [component, ...more] = blocks.filter(({ language }) => language === 'tsx')
    expect([samples.length, more.length]).toEqual([3, 0])
    const globals = `import { createClient } from 'ara-client'
const [url, token] = ['https://notify.example.org', () => 'token']
void [createClient, url, token]
`
    const files = Object.fromEntries(
      samples.map(({ text }, n) => [`${n}.ts`, text.startsWith('import ') ? text : `${globals}${text}`]),
    )
    const options = { strict: true, module: 'esnext', target: 'es2022', lib: ['es2022', 'dom'], noEmit: true }
    const folder = await project({
      ...files,
      'ara.ts': `${samples[0]?.text}\nexport { ara }`,
      'room.tsx': component?.text ?? '',
      'node.d.ts': 'declare const process: { env: Record<string, string | undefined> }',
      'tsconfig.json': JSON.stringify({
        compilerOptions: { ...options, moduleResolution: 'bundler', jsx: 'react-jsx', types: [] },
      }),
    })
    await link(folder, '@types/react', 'csstype')
    await run([process.execPath, join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', folder], folder)
  },
  TEST_MS,
)
