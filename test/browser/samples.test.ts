import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Browser, Page } from 'playwright-core'
import { startTestApp, type TestApp } from '../support/app.ts'
import { startBrowser } from '../support/browser.ts'
import { createInbox, type Inbox } from '../support/inbox.ts'
import { sample } from '../support/samples.ts'
import { eventually, publish, send } from '../support/visit.ts'

const START_MS = 30_000
const UUID = /^[0-9a-f-]{36}$/

/** Page of the service's origin, `localhost:8081` as in the samples. */
interface Visit extends AsyncDisposable {
  readonly page: Page
  /** Console output of the page, each argument as its value. */
  readonly said: Inbox<readonly unknown[]>
  /** Errors of the page. */
  readonly complaints: readonly string[]
}

let app: TestApp
let browser: Browser

beforeAll(async () => {
  app = await startTestApp({ ACK_ENABLED: 'true', QUEUE_ENABLED: 'true', DRAIN_SECONDS: '0' })
  browser = await startBrowser({ host: 'localhost:8081', port: app.port })
}, START_MS)

afterAll(async () => {
  await browser.close()
  await app[Symbol.asyncDispose]()
})

async function visit(): Promise<Visit> {
  const context = await browser.newContext()
  const page = await context.newPage()
  const said = createInbox<readonly unknown[]>()
  const complaints: string[] = []
  page.on('pageerror', error => complaints.push(error.message))
  page.on('console', async message =>
    said.push(await Promise.all(message.args().map(each => each.jsonValue()))),
  )
  await page.goto('http://localhost:8081/health')
  return { page, said, complaints, [Symbol.asyncDispose]: () => context.close() }
}

test('the WebSocket sample subscribes, shows each notification, and acknowledges it', async () => {
  await using visitor = await visit()
  const { page, said, complaints } = visitor
  await page.addScriptTag({ content: `const jwtToken = '${await app.token('u')}'` })
  await page.addScriptTag({ content: await sample('JavaScript, WebSocket') })
  await eventually(async () => (await app.get('/api/v1/channels')).json.total_channels === 2)
  expect((await app.get('/api/v1/users/u/subscriptions')).json.subscriptions).toEqual([
    'orders',
    'system-alerts',
  ])
  expect(await send(app, 'u', { order_id: 7 })).toMatchObject({ delivered_to: 1 })
  expect(await said.next()).toEqual(['收到通知:', 'e', { order_id: 7 }])
  expect(await publish(app, 'system-alerts', [1, '二', null])).toMatchObject({ delivered_to: 1 })
  expect(await said.next()).toEqual(['收到通知:', 'e', [1, '二', null]])
  const acks = async () => (await app.get('/stats')).json.ack
  await eventually(async () => (await acks()).total_acked === 2)
  expect(await acks()).toMatchObject({ total_tracked: 2, pending_count: 0, total_expired: 0 })
  expect(complaints).toEqual([])
})

test('a notification sent while the page was closed arrives when the sample runs again', async () => {
  expect(await send(app, 'later', { n: 1 })).toMatchObject({ delivered_to: 0, queued: 1 })
  await using visitor = await visit()
  await visitor.page.addScriptTag({ content: `const jwtToken = '${await app.token('later')}'` })
  await visitor.page.addScriptTag({ content: await sample('JavaScript, WebSocket') })
  expect(await visitor.said.next()).toEqual(['收到通知:', 'e', { n: 1 }])
})

test('the SSE sample connects, shows each notification, and ends when the service does', async () => {
  await using visitor = await visit()
  const { page, said, complaints } = visitor
  const content = (await sample('JavaScript, SSE')).replace('your-jwt-token', await app.token('s'))
  await page.addScriptTag({ content })
  expect(await said.next()).toEqual(['Connected:', expect.stringMatching(UUID)])
  expect(await send(app, 's', { text: 'line\nbreak' })).toMatchObject({ delivered_to: 1 })
  expect(await said.next()).toEqual(['Received:', 'e', { text: 'line\nbreak' }])
  await app.post('/api/v1/notifications/broadcast', { event_type: 'all', payload: 1 })
  expect(await said.next()).toEqual(['Received:', 'all', 1])
  await app.app.drain()
  const [first] = await said.until(([text]) => text === 'SSE error:')
  expect([first, await page.evaluate('eventSource.readyState'), complaints]).toEqual(['SSE error:', 2, []])
})
