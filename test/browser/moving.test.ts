import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { API_KEY, SECRET, startTestApp, type TestApp } from '../support/app.ts'
import { startBrowser } from '../support/browser.ts'
import { openDocPage } from '../support/doc-page.ts'
import { blocksOf, sectionOf } from '../support/markdown.ts'
import { createProject } from '../support/project.ts'
import { eventually, send } from '../support/visit.ts'

const START_MS = 30_000
const TEST_MS = 60_000
const document = await Bun.file(join(import.meta.dir, '../../docs/clients/moving.md')).text()

let service: TestApp
let browser: Browser

beforeAll(async () => {
  service = await startTestApp({ QUEUE_ENABLED: 'true', CHANNEL_ACCESS: 'claims' })
  browser = await startBrowser({ host: 'localhost:8081', port: service.port })
}, START_MS)

afterAll(async () => {
  await browser.close()
  await service[Symbol.asyncDispose]()
})

/** Code blocks under "After" in a section: of the page, then of the backend. */
const codeAfter = (section: string): readonly string[] =>
  [...sectionOf(document, section).matchAll(/^After:\n\n(```js\n[\s\S]*?^```\n)/gm)].map(
    ([, block = '']) => blocksOf(block)[0]?.text ?? '',
  )

/** Script of a page, with the functions that the samples expect. */
const script = (code: string): string => `
globalThis.seen = []
globalThis.states = new Set()
const getToken = token
const show = what => seen.push(what)
const showState = state => states.add(state)
const reload = () => seen.push('reload')
${code.replace('https://notify.example.org', 'http://localhost:8081')}`

test.each([
  ['From Socket.IO', 'room.1'],
  ['From Pusher', 'room-1'],
])(
  '%s: page and backend work together',
  async (section, room) => {
    const [page = '', backend = ''] = codeAfter(`## ${section}`)
    const code = `${backend}\nconsole.log(await tokenOf('u-7'))`
      .replaceAll('u-7', room)
      .replace('http://localhost:8081', service.url)
    await using project = await createProject({ 'send.js': code })
    const run = () => project.run('send.js', { API_KEY, JWT_SECRET: SECRET })
    const token = await run()
    await using visit = await openDocPage(browser, token, script(page))
    await eventually(async () => (await service.get(`/api/v1/channels/${room}`)).status === 200)
    await run()
    await eventually(async () => (await visit.page.evaluate<unknown[]>('seen')).length === 3)
    expect(await visit.page.evaluate('seen')).toEqual([42, 42, 'Hello'])
    expect(await visit.page.evaluate('[...states]')).toEqual(['connecting', 'online'])
    expect(visit.complaints).toEqual([])
    await service.post(`/api/v1/users/${room}/disconnect`, {})
    await eventually(async () => (await visit.page.evaluate<string[]>('[...states]')).includes('closed'))
  },
  TEST_MS,
)

test(
  'From EventSource: the page works',
  async () => {
    const [page = ''] = codeAfter('## From EventSource')
    await using visit = await openDocPage(browser, await service.token('source'), script(page))
    await send(service, 'source', { no: 7 }, { event_type: 'invoice.paid' })
    await eventually(async () => (await visit.page.evaluate<unknown[]>('seen')).length === 1)
    expect(await visit.page.evaluate('seen')).toEqual([7])
    expect(visit.complaints).toEqual([])
  },
  TEST_MS,
)
