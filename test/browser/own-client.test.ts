import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Browser, Page } from 'playwright-core'
import { startTestApp, type TestApp } from '../support/app.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { startBrowser } from '../support/browser.ts'
import { clientPages, gotBy } from '../support/client-page.ts'
import { type Proxy as Line, startProxy } from '../support/proxy.ts'
import { protocolBlocks } from '../support/samples.ts'
import { connectionsOf, eventually, publish, send } from '../support/visit.ts'

const START_MS = 30_000
const TEST_MS = 60_000
const TABS = 8

let service: TestApp
let line: Line
let browser: Browser

beforeAll(async () => {
  service = await startTestApp({
    QUEUE_ENABLED: 'true',
    QUEUE_MAX_SIZE_PER_USER: '1000',
    WEBSOCKET_HEARTBEAT_INTERVAL: '1',
  })
  line = await startProxy(service.port)
  browser = await startBrowser({ host: 'localhost:8081', port: line.port })
}, START_MS)

afterAll(async () => {
  await browser.close()
  await line[Symbol.asyncDispose]()
  await service[Symbol.asyncDispose]()
})

const listening = (connect: string) => `
  import { listen, storedPlace, ${connect} } from '/ara.js'
  listen({ url, getToken, connect: ${connect}, place: storedPlace('place'), onNotification: take })`

const IN_TABS = `
  import { storedPlace } from '/ara.js'
  import { listenInTabs } from '/ara-tabs.js'
  listenInTabs({ name: 'ara', url, getToken, place: storedPlace('place'), onNotification: take })`

const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n + 1)

async function sendAll(user: string, payloads: readonly number[]): Promise<void> {
  for (const payload of payloads) await send(service, user, payload)
}

const has = (page: Page, count: number): Promise<void> =>
  eventually(async () => (await gotBy(page)).length >= count, 30_000)

describe.each(['webSocket', 'eventStream'])('by %s, nothing is lost and nothing comes twice', connect => {
  test(
    'when connections break and the token endpoint fails meanwhile',
    async () => {
      const user = `outage-${connect}`
      await using pages = await clientPages(browser, service, user)
      const page = await pages.open(listening(connect))
      await sendAll(user, [1, 2])
      await has(page, 2)
      pages.tokens(false)
      const before = pages.asked
      line.cut()
      await sendAll(user, [3, 4])
      await eventually(() => pages.asked >= before + 2)
      pages.tokens(true)
      await has(page, 4)
      await sendAll(user, [5])
      await has(page, 5)
      expect(await gotBy(page)).toEqual(upTo(5))
    },
    TEST_MS,
  )

  test(
    'when the network swallows everything',
    async () => {
      const user = `black-hole-${connect}`
      await using pages = await clientPages(browser, service, user)
      const page = await pages.open(listening(connect))
      await sendAll(user, [1, 2])
      await has(page, 2)
      const before = pages.asked
      line.freeze()
      await sendAll(user, [3, 4])
      await eventually(() => pages.asked > before)
      line.thaw()
      await sendAll(user, [5])
      await has(page, 5)
      expect(await gotBy(page)).toEqual(upTo(5))
    },
    TEST_MS,
  )

  test(
    'when the page is reloaded while notifications arrive',
    async () => {
      const user = `reload-${connect}`
      await using pages = await clientPages(browser, service, user)
      const page = await pages.open(listening(connect))
      const payloads = upTo(100)
      while (payloads.length > 0) {
        const sending = awaitedLater(sendAll(user, payloads.splice(0, 20)))
        await page.reload()
        await sending
      }
      await has(page, 100)
      expect(await gotBy(page)).toEqual(upTo(100))
    },
    TEST_MS,
  )
})

test(
  'a stream is opened again after a 502, at which an EventSource gives up',
  async () => {
    await using pages = await clientPages(browser, service, 'bad-gateway')
    let refused = 0
    await pages.context.route('**/sse?**', route => {
      if (refused === 2) return route.continue()
      refused++
      return route.fulfill({ status: 502 })
    })
    await sendAll('bad-gateway', [1])
    const page = await pages.open(listening('eventStream'))
    await has(page, 1)
    expect([refused, await gotBy(page)]).toEqual([2, [1]])
    const plain = `
      const source = new EventSource('/sse?token=' + await getToken())
      source.onerror = () => take({ payload: source.readyState === EventSource.CLOSED })`
    refused = 0
    const other = await pages.open(plain)
    await has(other, 1)
    expect(await gotBy(other)).toEqual([true])
  },
  TEST_MS,
)

test(
  'in StrictMode, which mounts twice, the React sample connects once and shows each notification once',
  async () => {
    await using pages = await clientPages(browser, service, 'strict')
    const page = await pages.open(`
      import { useNotifications } from '/ara-react.js'
      useNotifications({ user: 'strict', url, getToken, onNotification: take })`)
    await sendAll('strict', [1, 2])
    await has(page, 2)
    await sendAll('strict', [3])
    await has(page, 3)
    expect(await gotBy(page)).toEqual(upTo(3))
    expect(await connectionsOf(service, 'strict')).toBe(1)
  },
  TEST_MS,
)

test(
  `${TABS} tabs share one connection, and when its tab closes another one takes over`,
  async () => {
    await using pages = await clientPages(browser, service, 'tabs')
    const tabs: Page[] = []
    for (let n = 0; n < TABS; n++) tabs.push(await pages.open(IN_TABS))
    const [leader, ...others] = tabs
    await sendAll('tabs', upTo(5))
    for (const tab of tabs) await has(tab, 5)
    expect(await connectionsOf(service, 'tabs')).toBe(1)
    const sending = awaitedLater(sendAll('tabs', [6, 7, 8, 9, 10]))
    await leader?.close()
    await sending
    for (const tab of others) {
      await has(tab, 10)
      expect(await gotBy(tab)).toEqual(upTo(10))
    }
    expect(await connectionsOf(service, 'tabs')).toBe(1)
  },
  TEST_MS,
)

test(
  'a page that reads the log first shows all of it after a reload, each notification once',
  async () => {
    await using pages = await clientPages(browser, service, 'list')
    await sendAll('list', [1, 2])
    const page = await pages.open(`
      import { listen } from '/ara.js'
      import { readLog } from '/ara-log.js'
      sessionStorage.clear()
      const { notifications, cursor } = await readLog({ url, getToken })
      notifications.forEach(take)
      listen({ url, getToken, onNotification: take, cursor })`)
    await has(page, 2)
    await sendAll('list', [3])
    await has(page, 3)
    await page.reload()
    await has(page, 3)
    await sendAll('list', [4])
    await has(page, 4)
    expect(await gotBy(page)).toEqual(upTo(4))
  },
  TEST_MS,
)

test(
  'the samples that use the client show what is sent to the user and to the channel, and what the log holds',
  async () => {
    const [, use = ''] = await protocolBlocks('A client that resumes')
    const [, then = ''] = await protocolBlocks('A list that survives a reload')
    await using pages = await clientPages(browser, service, 'u-7')
    const page = await pages.open(use.replace('https://notify.example.org', 'http://localhost:8081'))
    await eventually(async () => (await service.get('/api/v1/channels/orders')).status === 200)
    const said = awaitedLater(page.waitForEvent('console'))
    await publish(service, 'orders', { no: 1 })
    expect((await said).text()).toBe('e {no: 1}')
    await page.close()
    await sendAll('u-7', [1, 2])
    const list = await pages.open(`sessionStorage.clear()\nconst show = take\n${then}`)
    await has(list, 2)
    await sendAll('u-7', [3])
    await has(list, 3)
    expect(await gotBy(list)).toEqual(upTo(3))
  },
  TEST_MS,
)
