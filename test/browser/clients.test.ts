import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { API_KEY, SECRET, startTestApp, type TestApp } from '../support/app.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { startBrowser } from '../support/browser.ts'
import { openDocPage } from '../support/doc-page.ts'
import { blocksOf, sectionOf } from '../support/markdown.ts'
import { createProject } from '../support/project.ts'
import { eventually, publish, send } from '../support/visit.ts'

const START_MS = 30_000
const TEST_MS = 60_000
const document = await Bun.file(join(import.meta.dir, '../../docs/CLIENTS.md')).text()

let service: TestApp
let browser: Browser

beforeAll(async () => {
  service = await startTestApp({ QUEUE_ENABLED: 'true', ACK_ENABLED: 'true' })
  browser = await startBrowser({ host: 'localhost:8081', port: service.port })
}, START_MS)

afterAll(async () => {
  await browser.close()
  await service[Symbol.asyncDispose]()
})

/** Code blocks under a heading of `docs/CLIENTS.md`. */
const codeUnder = (heading: string): readonly string[] =>
  blocksOf(sectionOf(document, `## ${heading}`)).map(({ text }) => text)

const invoice = (user: string, no: number) =>
  send(service, user, { no }, { event_type: 'invoice.paid' }).then(({ notification_id: id }) => id)

const stateOf = async (id: string): Promise<string> =>
  (await service.get(`/api/v1/notifications/${id}`)).json.recipients[0].state

test(
  'the six lines show a first notification',
  async () => {
    const [six = ''] = codeUnder('Six lines')
    expect(six.trim().split('\n').length).toBe(6)
    await using visit = await openDocPage(
      browser,
      await service.token('six'),
      six.replace('https://notify.example.org', 'http://localhost:8081'),
    )
    const said = awaitedLater(visit.page.waitForEvent('console'))
    await invoice('six', 42)
    expect((await said).text()).toBe('42')
    expect(visit.complaints).toEqual([])
  },
  TEST_MS,
)

test(
  'the samples for cursor, channels, gaps, handlers, state and list work together',
  async () => {
    const [create = ''] = codeUnder('Cursor and reload')
    const [channels = ''] = codeUnder('Channels')
    const [gaps = ''] = codeUnder('Gaps')
    const [handler = ''] = codeUnder('Handlers and acknowledgement')
    const [watch = ''] = codeUnder('Connection state')
    const [list = ''] = codeUnder('A list that survives a reload')
    const first = await invoice('all', 1)
    await using visit = await openDocPage(
      browser,
      await service.token('all'),
      `
localStorage.setItem('ara:u-7', 'another-life:7')
globalThis.seen = { saved: [], gaps: [] }
globalThis.states = new Set()
const save = async payload => { seen.saved.push(payload.no) }
const reload = reason => seen.gaps.push(reason)
const show = ({ state }) => states.add(state)
${[create, gaps, watch, handler, channels, list].join('\n')}
Object.assign(seen, { ids: list.map(({ id }) => id), leave, off })`,
    )
    const { page } = visit
    await page.waitForFunction('globalThis.seen?.ids !== undefined')
    await eventually(async () => (await stateOf(first)) === 'acked')
    await publish(service, 'room.1', { no: 0 })
    const second = await invoice('all', 2)
    await eventually(async () => (await stateOf(second)) === 'acked')
    await page.evaluate('seen.off(), seen.leave()')
    await eventually(async () => (await service.get('/api/v1/channels')).json.total_channels === 0)
    expect(await page.evaluate('JSON.stringify(seen)')).toBe(
      JSON.stringify({ saved: [1, 2], gaps: ['epoch_changed'], ids: [first] }),
    )
    expect(await page.evaluate('[...states]')).toEqual(['connecting', 'online'])
    expect(await page.evaluate("localStorage.getItem('ara:u-7')")).toMatch(/:2$/)
    expect(visit.complaints).toEqual([])
  },
  TEST_MS,
)

test(
  'the loop reads notifications, and acknowledges each when it asks for the next',
  async () => {
    const [create = ''] = codeUnder('Cursor and reload')
    const [, loop = ''] = codeUnder('Handlers and acknowledgement')
    const setup = 'globalThis.shown = []; const show = no => shown.push(no)'
    await using visit = await openDocPage(
      browser,
      await service.token('loop'),
      `${create}\n${setup}\n${loop}`,
    )
    await send(service, 'loop', { no: 0 })
    const id = await invoice('loop', 1)
    await eventually(async () => (await stateOf(id)) === 'acked')
    expect(await visit.page.evaluate('shown')).toEqual([1])
    expect(visit.complaints).toEqual([])
  },
  TEST_MS,
)

test(
  'the page in the README of the package shows what its backend sends',
  async () => {
    const readme = await Bun.file(join(import.meta.dir, '../../client/README.md')).text()
    const javascript = new Bun.Transpiler({ loader: 'ts' })
    const [page = '', backend = ''] = blocksOf(readme)
      .filter(({ language }) => language === 'ts')
      .map(({ text }) => javascript.transformSync(text))
    const main = `${backend.replace('http://localhost:8081', service.url)}\nconsole.log(token)`
    await using project = await createProject({ 'main.js': main })
    const token = await project.run('main.js', { API_KEY, JWT_SECRET: SECRET })
    await using visit = await openDocPage(
      browser,
      token,
      `const said = console.log
console.log = no => { globalThis.shown = no; said(no) }
${page.replace('https://notify.example.org', 'http://localhost:8081')}`,
    )
    await eventually(async () => (await visit.page.evaluate('globalThis.shown')) === 42)
    await eventually(async () =>
      /:1$/.test(String(await visit.page.evaluate("localStorage.getItem('ara:u-1')"))),
    )
    expect(visit.complaints).toEqual([])
  },
  TEST_MS,
)
