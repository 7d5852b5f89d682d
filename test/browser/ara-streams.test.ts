import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Browser, Page } from 'playwright-core'
import { startTestApp, type TestApp } from '../support/app.ts'
import { upTo } from '../support/ara.ts'
import { araPages, gotBy, stateOf } from '../support/ara-pages.ts'
import { startBrowser } from '../support/browser.ts'
import { connectionsOf, eventually, publish, send } from '../support/visit.ts'

const TEST_MS = 60_000
const TABS = 8
const STREAM = 'WebSocket: undefined'

let service: TestApp
let browser: Browser

beforeAll(async () => {
  service = await startTestApp({ QUEUE_ENABLED: 'true', ACK_ENABLED: 'true' })
  browser = await startBrowser({ host: 'localhost:8081', port: service.port })
}, TEST_MS)

afterAll(async () => {
  await browser.close()
  await service[Symbol.asyncDispose]()
})

const isOnline = (page: Page): Promise<void> =>
  eventually(async () => (await stateOf(page)) === 'online', 30_000)

const has = (page: Page, count: number): Promise<void> =>
  eventually(async () => (await gotBy(page)).length >= count, 30_000)

const channelsOf = async (user: string): Promise<string> => {
  const { status, json } = await service.get(`/api/v1/users/${user}/subscriptions`)
  return status === 200 ? json.subscriptions.join() : ''
}

test(
  'the stream of the leading tab carries the channels of 8 tabs, also of the next leader',
  async () => {
    await using pages = await araPages(browser, service)
    const tabs: Page[] = []
    for (let n = 0; n < TABS; n++) {
      const page = await pages.open('ann', STREAM)
      await isOnline(page)
      await page.evaluate(`void (leave = ara.subscribe('room${n}'))`)
      tabs.push(page)
    }
    await Promise.all(tabs.map(page => page.evaluate('ara.ready()')))
    for (const n of upTo(TABS)) await publish(service, `room${n - 1}`, n)
    for (const page of tabs) await has(page, TABS)
    const [first, ...others] = tabs
    await first?.close()
    const left = upTo(TABS - 1).map(n => `room${n}`)
    await eventually(async () => (await channelsOf('ann')) === left.join(), 30_000)
    for (const n of upTo(TABS - 1)) await publish(service, `room${n}`, 100 + n)
    await send(service, 'ann', 200)
    for (const page of others) await has(page, 2 * TABS)
    const sorted = async (page: Page) => (await gotBy(page)).toSorted((a, b) => Number(a) - Number(b))
    const expected = [...upTo(TABS), ...upTo(TABS - 1).map(n => 100 + n), 200]
    for (const page of others) expect(await sorted(page)).toEqual(expected)
    await eventually(async () => (await connectionsOf(service, 'ann')) === 1)
  },
  TEST_MS,
)

test(
  'the channels of a tab that loads another page are left',
  async () => {
    await using pages = await araPages(browser, service)
    const leader = await pages.open('bea')
    await isOnline(leader)
    const tab = await pages.open('bea')
    for (let n = 0; n < 5; n++) {
      await isOnline(tab)
      await tab.evaluate(`void ara.subscribe('page${n}')`)
      await eventually(async () => (await channelsOf('bea')) === `page${n}`)
      await tab.reload()
    }
    await eventually(async () => (await channelsOf('bea')) === '')
    await isOnline(tab)
    await send(service, 'bea', 1)
    await has(leader, 1)
    await has(tab, 1)
  },
  TEST_MS,
)

test(
  'subscribing and leaving in a loop, and closing at any moment, leaves nothing behind',
  async () => {
    await using pages = await araPages(browser, service)
    for (const options of ['', STREAM]) {
      const page = await pages.open('cem', options)
      await isOnline(page)
      await page.evaluate(`(async () => {
        for (let n = 0; n < 200; n++) {
          const leave = ara.subscribe('loop' + (n % 7))
          await (n % 3 ? null : new Promise(done => setTimeout(done)))
          leave()
        }
        ara.subscribe('last')
        await ara.ready()
      })()`)
      await eventually(async () => (await channelsOf('cem')) === 'last')
      await send(service, 'cem', 1)
      await publish(service, 'last', 2)
      await has(page, 2)
      await page.evaluate('ara.close()')
      await page.evaluate(`(async () => {
        const { createClient } = await import('/ara.js')
        for (let n = 0; n < 20; n++) {
          const one = createClient({ url: location.origin, token: tokenOf('cem'), shared: n % 2 === 0, ${options} })
          one.subscribe('gone')
          await new Promise(done => setTimeout(done, n))
          one.close()
        }
      })()`)
      await eventually(async () => (await connectionsOf(service, 'cem')) === 0)
      await page.close()
    }
  },
  TEST_MS,
)
