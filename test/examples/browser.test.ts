import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Browser, Page } from 'playwright-core'
import { API_KEY, startTestApp, type TestApp } from '../support/app.ts'
import { startBrowser } from '../support/browser.ts'
import { type RunningExample, settingsFor, startExample } from '../support/example.ts'
import { freePort } from '../support/free-port.ts'
import { startService } from '../support/service.ts'
import { storePlace } from '../support/store-file.ts'
import { eventually } from '../support/visit.ts'

const TEST_MS = 60_000
const MAX_QUEUE = 5

let service: TestApp
let example: RunningExample
let browser: Browser

beforeAll(async () => {
  service = await startTestApp({ QUEUE_ENABLED: 'true', QUEUE_MAX_SIZE_PER_USER: String(MAX_QUEUE) })
  example = await startExample('browser', settingsFor(service.url))
  browser = await startBrowser({ host: 'localhost:8081', port: service.port })
}, TEST_MS)

afterAll(async () => {
  await browser.close()
  await example[Symbol.asyncDispose]()
  await service[Symbol.asyncDispose]()
})

async function ship(...orders: readonly number[]): Promise<void> {
  for (const order of orders)
    await service.post('/api/v1/notifications/send', {
      target_user_id: 'alice',
      event_type: 'order.shipped',
      payload: { order },
    })
}

const linesOf = (page: Page): Promise<string[]> => page.locator('li').allTextContents()
const shipped = (order: number): string => `Order ${order} is on its way`

/** Waits until the list is this long, and reads it: newest first. */
async function linesWhen(page: Page, count: number): Promise<string[]> {
  await eventually(async () => (await linesOf(page)).length >= count)
  return linesOf(page)
}

const badgeOf = (page: Page): Promise<string | null> => page.textContent('#badge')

const online = (page: Page) => page.getByText('online').waitFor()

test(
  'the page counts what arrives, keeps it over a reload, and shows once what it missed',
  async () => {
    const context = await browser.newContext()
    const page = await context.newPage()
    const faults: string[] = []
    page.on('pageerror', error => faults.push(error.message))
    await page.goto(example.url)
    await online(page)
    expect(await page.locator('#badge').isVisible()).toBe(false)
    await page.getByText('No notifications yet.').waitFor()
    await ship(1, 2, 3)
    expect(await linesWhen(page, 3)).toEqual([3, 2, 1].map(shipped))
    expect(await badgeOf(page)).toBe('3')
    expect(await page.locator('#empty').isVisible()).toBe(false)
    await page.click('#bell')
    expect(await badgeOf(page)).toBe('')

    await page.goto('about:blank')
    await eventually(async () => (await service.get('/api/v1/users/alice/presence')).json.connections === 0)
    await ship(4, 5)
    await page.goto(example.url)
    expect(await linesWhen(page, 5)).toEqual([5, 4, 3, 2, 1].map(shipped))
    expect(await badgeOf(page)).toBe('2')
    expect(await page.locator('#gap').isVisible()).toBe(false)

    // Another tab shows the same list, and reading there counts here.
    const other = await context.newPage()
    await other.goto(example.url)
    await ship(6)
    expect(await linesWhen(other, 6)).toEqual([6, 5, 4, 3, 2, 1].map(shipped))
    await other.click('#bell')
    await eventually(async () => (await badgeOf(page)) === '')
    await other.close()

    await page.click('text=Subscribe')
    await eventually(async () => (await service.get('/api/v1/channels')).json.total_channels === 1)
    await service.post('/api/v1/notifications/channel', {
      channel: 'lobby',
      event_type: 'room.message',
      payload: { from: 'bob', text: 'hello' },
    })
    expect(await linesWhen(page, 7)).toEqual(['bob: hello', ...[6, 5, 4, 3, 2, 1].map(shipped)])

    await page.goto('about:blank')
    await eventually(async () => (await service.get('/api/v1/users/alice/presence')).json.connections === 0)
    await ship(7, 8, 9, 10, 11, 12, 13)
    await page.goto(example.url)
    const lines = await linesWhen(page, 12)
    expect(lines.slice(0, MAX_QUEUE)).toEqual([13, 12, 11, 10, 9].map(shipped))
    expect(await page.textContent('#gap')).toContain('trimmed')
    expect({ lines: lines.length, faults }).toEqual({ lines: 12, faults: [] })
    await context.close()
  },
  TEST_MS,
)

test(
  'the page says why it is not connected, and connects when it can',
  async () => {
    const page = await browser.newPage()
    await page.route('**/token', route => route.fulfill({ status: 503 }))
    await page.goto(example.url)
    await page.getByText(/^waiting, next attempt at .*\/token answered 503/).waitFor()
    await page.unroute('**/token')
    await page.getByText(/^online$/).waitFor()
    await page.close()
  },
  TEST_MS,
)

test(
  'the page reconnects after its service is killed and started again, and nothing is missing or shown twice',
  async () => {
    await using place = await storePlace()
    const env = { SERVER_PORT: String(await freePort()), QUEUE_ENABLED: 'true', STORE_URL: place.url }
    await using stack = new AsyncDisposableStack()
    let running = await startService(env)
    stack.defer(() => running[Symbol.asyncDispose]())
    const { url } = stack.use(await startExample('browser', settingsFor(running.url)))
    const context = await browser.newContext()
    const page = await context.newPage()
    await page.goto(url)
    await online(page)
    const order = (n: number) =>
      fetch(`${running.url}/api/v1/notifications/send`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-api-key': API_KEY },
        body: JSON.stringify({
          target_user_id: 'alice',
          event_type: 'order.shipped',
          payload: { order: n },
        }),
      })
    await order(1)
    await linesWhen(page, 1)
    running.signal('SIGKILL')
    await running.ended
    await page.getByText(/^waiting, next attempt at /).waitFor()
    running = await startService(env)
    await order(2)
    await order(3)
    expect(await linesWhen(page, 3)).toEqual([3, 2, 1].map(shipped))
    await online(page)
    await order(4)
    expect(await linesWhen(page, 4)).toEqual([4, 3, 2, 1].map(shipped))
    expect(await page.locator('#gap').isVisible()).toBe(false)
    await context.close()
  },
  TEST_MS,
)
