import { afterAll, afterEach, beforeAll, expect, test } from 'bun:test'
import type { Browser, Page, Route } from 'playwright-core'
import { startTestApp, type TestApp } from '../support/app.ts'
import { upTo } from '../support/ara.ts'
import { araPages, gotBy, pageClock, stateOf } from '../support/ara-pages.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { startBrowser } from '../support/browser.ts'
import { type Proxy as Line, startProxy } from '../support/proxy.ts'
import { startStopwatch } from '../support/stopwatch.ts'
import { broadcast, connectionsOf, eventually, publish, send } from '../support/visit.ts'

const START_MS = 60_000
const TEST_MS = 60_000
const TABS = 8
/** Shortens the first four pauses. The fifth takes 8 s. */
const LONG_PAUSE = `random: () => 0.999, ${pageClock('[499.5, 999, 1_998, 3_996].includes(ms) ? ms / 20 : ms')}`

let service: TestApp
let line: Line
let browser: Browser

beforeAll(async () => {
  service = await startTestApp({
    QUEUE_ENABLED: 'true',
    ACK_ENABLED: 'true',
    ACK_TIMEOUT_SECONDS: '60',
    QUEUE_MAX_SIZE_PER_USER: '2000',
    WEBSOCKET_HEARTBEAT_INTERVAL: '1',
    WEBSOCKET_CONNECTION_TIMEOUT: '3',
    WEBSOCKET_CLEANUP_INTERVAL: '1',
  })
  line = await startProxy(service.port)
  browser = await startBrowser({ host: 'localhost:8081', port: line.port })
}, START_MS)

// A test that failed leaves the line to the next one as it was.
afterEach(() => line.thaw())

afterAll(async () => {
  await browser.close()
  await line[Symbol.asyncDispose]()
  await service[Symbol.asyncDispose]()
})

async function sendAll(user: string, payloads: readonly number[]): Promise<void> {
  for (const payload of payloads) await send(service, user, payload)
}

const has = (page: Page, count: number): Promise<void> =>
  eventually(async () => (await gotBy(page)).length >= count, 30_000)

const isOnline = (page: Page): Promise<void> =>
  eventually(async () => (await stateOf(page)) === 'online', 30_000)

/** The tab is ready once the service is heard again, not before; then it receives what its channel carries. */
async function becomesReady(tab: Page): Promise<void> {
  expect(await tab.evaluate('isReady')).toBe(false)
  line.thaw()
  await eventually(() => tab.evaluate('isReady'))
  await publish(service, 'room', 1)
  await has(tab, 1)
}

/** Kills the process of a tab, as the browser does when memory is short. */
async function crash(page: Page): Promise<void> {
  const session = await page.context().newCDPSession(page)
  session.send('Page.crash').catch(() => {})
  await page.waitForEvent('crash')
}

/** Stops every process of the browser, as a laptop does that is closed. */
async function sleep(ms: number, meanwhile: () => Promise<void>): Promise<void> {
  const session = await browser.newBrowserCDPSession()
  const { processInfo } = await session.send('SystemInfo.getProcessInfo')
  for (const { id } of processInfo) process.kill(id, 'SIGSTOP')
  try {
    await meanwhile()
    await Bun.sleep(ms)
  } finally {
    for (const { id } of processInfo) process.kill(id, 'SIGCONT')
  }
}

test(
  '8 tabs share one connection, and see everything once and in order when the leading one is killed',
  async () => {
    await using pages = await araPages(browser, service)
    const tabs: Page[] = []
    for (let n = 0; n < TABS; n++) {
      const page = await pages.open('ann')
      await isOnline(page)
      tabs.push(page)
    }
    await sendAll('ann', [1, 2])
    for (const tab of tabs) await has(tab, 2)
    expect(await connectionsOf(service, 'ann')).toBe(1)
    // They lead in the order in which they came.
    let last = 2
    for (const leader of tabs.slice(0, 3)) {
      const sending = awaitedLater(sendAll('ann', upTo(last + 10).slice(last)))
      await crash(leader)
      await sending
      last += 10
    }
    for (const tab of tabs.slice(3)) {
      await has(tab, last)
      expect(await gotBy(tab)).toEqual(upTo(last))
    }
    expect(await connectionsOf(service, 'ann')).toBe(1)
  },
  TEST_MS,
)

test(
  'each tab subscribes for itself, and the leading one acknowledges what any tab has handled',
  async () => {
    await using pages = await araPages(browser, service)
    const leader = await pages.open('cleo')
    await isOnline(leader)
    const other = await pages.open('cleo')
    await other.evaluate(`
    globalThis.leave = ara.subscribe('room')
    ara.on('special', take)
    ara.ready()`)
    await publish(service, 'room', 'to the room')
    await has(other, 1)
    await service.post('/api/v1/notifications/send', {
      target_user_id: 'cleo',
      event_type: 'special',
      payload: 's',
    })
    await has(other, 2)
    expect(await gotBy(other)).toEqual(['to the room', 's'])
    const states = async () =>
      (await service.get('/api/v1/users/cleo/notifications')).json.notifications.map(
        ({ state }: { state: string }) => state,
      )
    await eventually(async () => (await states()).join() === 'acked')
    await other.evaluate('leave()')
    await eventually(async () => (await service.get('/api/v1/channels')).json.total_channels === 0)
    await other.close()
    await leader.close()
  },
  TEST_MS,
)

test(
  'a tab that leaves a channel and comes back is ready when it is in the channel again',
  async () => {
    await using pages = await araPages(browser, service)
    await isOnline(await pages.open('cora'))
    const other = await pages.open('cora')
    await other.evaluate("globalThis.leave = ara.subscribe('room'); ara.ready()")
    line.mute()
    await other.evaluate(`
    globalThis.isReady = false
    leave()
    queueMicrotask(() => {
      ara.subscribe('room')
      ara.ready().then(() => { isReady = true })
    })`)
    await eventually(async () => (await service.get('/api/v1/channels')).json.total_channels === 0)
    await becomesReady(other)
  },
  TEST_MS,
)

test(
  'a tab is not ready by an answer that was on its way before it left a channel and came back',
  async () => {
    await using pages = await araPages(browser, service)
    await isOnline(await pages.open('ida'))
    const other = await pages.open('ida')
    await other.evaluate("globalThis.leave = ara.subscribe('room'); ara.ready()")
    const third = await pages.open('ida')
    const { promise, resolve } = Promise.withResolvers<void>()
    await other.route('**/hold', async route => {
      await promise
      await route.fulfill({ body: '' })
    })
    const changing = awaitedLater(
      other.evaluate(`(async () => {
        globalThis.isReady = false
        const request = new XMLHttpRequest()
        request.open('GET', '/hold', false)
        request.send()
        leave()
        await null
        ara.subscribe('room')
        ara.ready().then(() => { isReady = true })
      })()`),
    )
    // The leading tab tells all tabs what it has answered.
    await third.evaluate("ara.subscribe('hall'); ara.ready()")
    line.mute()
    resolve()
    await changing
    await eventually(async () => (await service.get('/api/v1/channels')).json.total_channels === 1)
    await becomesReady(other)
  },
  TEST_MS,
)

test(
  'a tab that wants a channel of another tab is ready when the leading one has heard it',
  async () => {
    await using pages = await araPages(browser, service)
    await isOnline(await pages.open('jo'))
    const other = await pages.open('jo')
    await other.evaluate("ara.subscribe('room'); ara.ready()")
    const third = await pages.open('jo')
    await third.evaluate('ara.ready()')
    const atOnce = await third.evaluate(`(async () => {
      let isReady = false
      ara.subscribe('room')
      globalThis.ready = ara.ready().then(() => { isReady = true })
      for (let turns = 0; turns < 10; turns++) await null
      return isReady
    })()`)
    expect(atOnce).toBe(false)
    await third.evaluate('ready')
  },
  TEST_MS,
)

test(
  'a tab that has waited long for a leading one that does not answer connects when that has gone',
  async () => {
    await using pages = await araPages(browser, service)
    const silent = await pages.open('kim', '', false)
    const lock = 'ara:http://localhost:8081:,kim'
    await silent.evaluate(`navigator.locks.request('${lock}', () => new Promise(() => {})); 0`)
    // Only the first step of its attempt is soon too late.
    const waiting = await pages.open(
      'kim',
      `random: () => 0, clock: {
        now: Date.now,
        setTimeout: (run, ms) => setTimeout(run, ms < 15_000 || globalThis.isLate ? ms : (globalThis.isLate = 1)),
        clearTimeout: timer => clearTimeout(timer),
      },`,
    )
    await eventually(() => pages.asked === 2)
    await eventually(async () => (await stateOf(waiting)) === 'connecting')
    const elapsed = startStopwatch()
    await silent.close()
    await isOnline(waiting)
    expect(elapsed()).toBeLessThan(10_000)
  },
  TEST_MS,
)

test(
  'a tab whose version of the client has no lock of its own stays in its channels',
  async () => {
    await using pages = await araPages(browser, service)
    await isOnline(await pages.open('lea'))
    const older = await pages.open('lea', '', false)
    await older.evaluate(`
    globalThis.tabs = new BroadcastChannel('ara:http://localhost:8081:,lea')
    globalThis.rooms = new Promise(resolve => {
      tabs.onmessage = ({ data: { message } }) => {
        if (message?.type === 'notification') resolve(message.payload)
      }
    })
    tabs.postMessage({ tab: '0.5', wants: { channels: ['room'], types: ['e'] } })
    0`)
    const third = await pages.open('lea')
    await third.evaluate("ara.subscribe('hall'); ara.ready()")
    await eventually(async () => (await service.get('/api/v1/channels')).json.total_channels === 2)
    await publish(service, 'room', 1)
    expect(await older.evaluate('rooms')).toBe(1)
  },
  TEST_MS,
)

test(
  'a channel of a tab that is closed is left',
  async () => {
    await using pages = await araPages(browser, service)
    const leader = await pages.open('dora')
    await isOnline(leader)
    const other = await pages.open('dora')
    await other.evaluate("ara.subscribe('room'); ara.ready()")
    await eventually(async () => (await service.get('/api/v1/channels')).json.total_channels === 1)
    await other.evaluate('ara.close()')
    await eventually(async () => (await service.get('/api/v1/channels')).json.total_channels === 0)
  },
  TEST_MS,
)

test(
  'a channel of a tab that crashed is left',
  async () => {
    await using pages = await araPages(browser, service)
    await isOnline(await pages.open('fay'))
    const other = await pages.open('fay')
    await other.evaluate("ara.subscribe('room'); ara.ready()")
    await crash(other)
    await eventually(async () => (await service.get('/api/v1/channels')).json.total_channels === 0)
  },
  TEST_MS,
)

test(
  'a tab without handlers keeps notifications that arrive after the other tabs have closed',
  async () => {
    await using pages = await araPages(browser, service)
    const leader = await pages.open('gus', '', false)
    await leader.evaluate('ara.ready()')
    const other = await pages.open('gus')
    await isOnline(other)
    await sendAll('gus', [1])
    await has(other, 1)
    await other.evaluate("ara.subscribe('room'); ara.ready()")
    await other.close()
    await eventually(async () => (await service.get('/api/v1/channels')).json.total_channels === 0)
    await sendAll('gus', [2])
    await leader.evaluate("ara.on('e', take)")
    await has(leader, 1)
    expect(await gotBy(leader)).toEqual([2])
  },
  TEST_MS,
)

test(
  'a tab that becomes visible makes the leading one try at once',
  async () => {
    await using pages = await araPages(browser, service)
    const leader = await pages.open('hal', LONG_PAUSE)
    await isOnline(leader)
    const other = await pages.open('hal')
    await isOnline(other)
    const refuse = (route: Route) => route.abort()
    await pages.context.route('**/token?*', refuse)
    line.cut()
    const pause = (): Promise<number> => leader.evaluate('(ara.connection.retryAt ?? 0) - Date.now()')
    await eventually(async () => (await pause()) > 4_000, 30_000)
    await pages.context.unroute('**/token?*', refuse)
    const elapsed = startStopwatch()
    await other.evaluate("document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))")
    await isOnline(other)
    expect(elapsed()).toBeLessThan(3_000)
  },
  TEST_MS,
)

test(
  'two users in two tabs have their own connections and see nothing of each other',
  async () => {
    await using pages = await araPages(browser, service)
    const ann = await pages.open('user-1')
    const bob = await pages.open('user-2')
    await isOnline(ann)
    await isOnline(bob)
    await sendAll('user-1', [1])
    await sendAll('user-2', [2])
    await has(ann, 1)
    await has(bob, 1)
    expect([await gotBy(ann), await gotBy(bob)]).toEqual([[1], [2]])
    expect([await connectionsOf(service, 'user-1'), await connectionsOf(service, 'user-2')]).toEqual([1, 1])
  },
  TEST_MS,
)

test(
  '`shared: false` gives each tab its own connection',
  async () => {
    await using pages = await araPages(browser, service)
    for (let n = 0; n < 2; n++) await isOnline(await pages.open('eve', 'shared: false'))
    expect(await connectionsOf(service, 'eve')).toBe(2)
  },
  TEST_MS,
)

test(
  'a tab without handlers may lead, and the others see everything',
  async () => {
    await using pages = await araPages(browser, service)
    const leader = await pages.open('quiet', '', false)
    await leader.evaluate('ara.ready()')
    const other = await pages.open('quiet')
    await isOnline(other)
    const item = (payload: number) => ({ target: { type: 'user', value: 'quiet' }, event_type: 'e', payload })
    for (let from = 0; from < 1_200; from += 100)
      await service.post('/api/v1/notifications/batch', { notifications: upTo(100).map(n => item(from + n)) })
    await has(other, 1_200)
    expect(await gotBy(other)).toEqual(upTo(1_200))
    expect(await connectionsOf(service, 'quiet')).toBe(1)
  },
  TEST_MS,
)

test(
  'a client that is closed while it starts leaves the connection to the others',
  async () => {
    await using pages = await araPages(browser, service)
    const page = await pages.open('starter', '', false)
    const state = await page.evaluate(`(async () => {
      const { createClient } = await import('/ara.js')
      const token = await tokenOf('starter')()
      for (let turns = 0; turns < 30; turns++) {
        let answer
        const client = createClient({ url: location.origin, token: () => new Promise(resolve => { answer = resolve }) })
        const ready = client.ready().catch(() => {})
        while (!answer) await null
        answer(token)
        for (let n = 0; n < turns; n++) await null
        client.close()
        await ready
      }
      await ara.ready({ timeout: 10_000 })
      return ara.connection.state
    })()`)
    expect(state).toBe('online')
  },
  TEST_MS,
)

test(
  'in a frame that may not have locks a client connects for itself',
  async () => {
    await using pages = await araPages(browser, service)
    const page = await pages.open('frame')
    await isOnline(page)
    const token = await service.token('frame')
    const script = `import { createClient } from 'http://localhost:8081/ara.js'
    const ara = createClient({ url: 'http://localhost:8081', token: () => '${token}' })
    ara.on('e', ({ payload }) => parent.postMessage(payload, '*'))`
    await page.evaluate(html => {
      const create = `globalThis.framed = new Promise(resolve => { onmessage = ({ data }) => resolve(data) })
          const frame = document.createElement('iframe')
          frame.sandbox = 'allow-scripts'
          frame.srcdoc = html
          document.body.append(frame)`
      new Function('html', create)(html)
    }, `<script type="module">${script}</script>`)
    await eventually(async () => (await connectionsOf(service, 'frame')) === 2)
    await sendAll('frame', [7])
    expect(await page.evaluate('framed')).toBe(7)
  },
  TEST_MS,
)

test(
  'tabs that may not have locks connect for themselves and do not answer each other',
  async () => {
    await using pages = await araPages(browser, service)
    await pages.context.addInitScript(
      "navigator.locks.request = () => Promise.reject(new DOMException('denied', 'SecurityError'))",
    )
    const tabs = [await pages.open('mia'), await pages.open('mia')]
    for (const tab of tabs) await isOnline(tab)
    const listener = await pages.open('mia', '', false)
    await listener.evaluate(`
    globalThis.heard = 0
    new BroadcastChannel('ara:http://localhost:8081:,mia').onmessage = () => heard++; 0`)
    for (const tab of tabs) await tab.evaluate("ara.subscribe('room'); ara.ready()")
    await sendAll('mia', upTo(5))
    for (const tab of tabs) {
      await has(tab, 5)
      expect(await gotBy(tab)).toEqual(upTo(5))
    }
    expect(await listener.evaluate('heard')).toBeLessThan(50)
    expect(await connectionsOf(service, 'mia')).toBe(2)
  },
  TEST_MS,
)

test(
  'a page that is reloaded in the middle of a replay continues where it was',
  async () => {
    await using pages = await araPages(browser, service)
    const page = await pages.open('reload')
    await isOnline(page)
    const payloads = upTo(400)
    while (payloads.length > 0) {
      const sending = awaitedLater(sendAll('reload', payloads.splice(0, 50)))
      await page.reload()
      await sending
      await page.reload()
    }
    await has(page, 400)
    expect(await gotBy(page)).toEqual(upTo(400))
    expect(await page.evaluate('gaps')).toEqual([])
  },
  TEST_MS,
)

test(
  'a laptop that sleeps until the service has given it up catches up when it wakes',
  async () => {
    await using pages = await araPages(browser, service)
    const tabs = [await pages.open('sleeper'), await pages.open('sleeper')]
    for (const tab of tabs) await isOnline(tab)
    await sendAll('sleeper', [1])
    for (const tab of tabs) await has(tab, 1)
    await sleep(100, async () => {
      await eventually(async () => (await connectionsOf(service, 'sleeper')) === 0, 20_000)
      await sendAll('sleeper', [2, 3])
    })
    await sendAll('sleeper', [4])
    for (const tab of tabs) {
      await has(tab, 4)
      expect(await gotBy(tab)).toEqual(upTo(4))
    }
  },
  TEST_MS,
)

test(
  'a page that was offline tries at once when the network is back',
  async () => {
    await using pages = await araPages(browser, service)
    const page = await pages.open('offline', LONG_PAUSE)
    await isOnline(page)
    await sendAll('offline', [1])
    await has(page, 1)
    await pages.context.setOffline(true)
    line.cut()
    await sendAll('offline', [2, 3])
    // Without the event the next attempt would be seconds away.
    await eventually(
      async () => Number(await page.evaluate('ara.connection.retryAt - Date.now()')) > 4_000,
      30_000,
    )
    await pages.context.setOffline(false)
    await isOnline(page)
    await has(page, 3)
    expect(await gotBy(page)).toEqual(upTo(3))
  },
  TEST_MS,
)

test(
  'behind a dead network a page reconnects within two heartbeats',
  async () => {
    await using pages = await araPages(browser, service)
    const page = await pages.open('black-hole')
    await isOnline(page)
    line.freeze()
    await sendAll('black-hole', [1])
    await eventually(async () => (await stateOf(page)) !== 'online', 5_000)
    line.thaw()
    await has(page, 1)
    await broadcast(service, 2)
    await has(page, 2)
    expect(await gotBy(page)).toEqual([1, 2])
  },
  TEST_MS,
)
