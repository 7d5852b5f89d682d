import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Browser, Page } from 'playwright-core'
import type { ConnectionState } from '../../client/src/types.ts'
import { startTestApp, type TestApp } from '../support/app.ts'
import { upTo } from '../support/ara.ts'
import { type AraPages, araPages, gotBy, pageClock } from '../support/ara-pages.ts'
import { startBrowser } from '../support/browser.ts'
import { freePort } from '../support/free-port.ts'
import { isUpgrade, startGate } from '../support/gate.ts'
import { startService } from '../support/service.ts'
import { storePlace } from '../support/store-file.ts'
import { eventually, send } from '../support/visit.ts'

const TEST_MS = 60_000
const GIVE_UP_MS = 30_000
const LOG = { QUEUE_ENABLED: 'true', QUEUE_MAX_SIZE_PER_USER: '20000' }
const ACK = { ...LOG, ACK_ENABLED: 'true', ACK_TIMEOUT_SECONDS: '1' }

const FAST = pageClock('ms / 20')
/** Tries WebSockets again after a second, not after five minutes. */
const IMPATIENT = pageClock('ms >= 300_000 ? 1_000 : ms')

let host: TestApp
let browser: Browser

beforeAll(async () => {
  host = await startTestApp({})
  browser = await startBrowser({ host: 'localhost:8081', port: host.port })
}, TEST_MS)

afterAll(async () => {
  await browser.close()
  await host[Symbol.asyncDispose]()
})

interface Follower {
  readonly page: Page
  /** Waits for that many notifications, and checks that the application saw each once, in order, and without a gap. */
  sees(count: number): Promise<void>
  states(): Promise<readonly ConnectionState[]>
  /** Resolves with the first snapshot, past or to come, that fits. */
  until(fits: (state: ConnectionState) => boolean): Promise<ConnectionState>
}

/** Opens a tab that follows as a user of the service at `url`, and notes each state. */
async function follow(
  pages: AraPages,
  user: string,
  url: string,
  options = '',
  handler = 'take',
): Promise<Follower> {
  const page = await pages.open(user, `url: '${url}', ${options}`, false)
  await page.evaluate(`
  globalThis.states = []
  ara.watch(() => void states.push(ara.connection))
  void ara.on('e', ${handler})`)
  const states = (): Promise<readonly ConnectionState[]> => page.evaluate('states')
  return {
    page,
    states,
    sees: async count => {
      await eventually(async () => (await gotBy(page)).length >= count, GIVE_UP_MS)
      expect({ got: await gotBy(page), gaps: await page.evaluate('gaps') }).toEqual({
        got: upTo(count),
        gaps: [],
      })
    },
    until: async fits => {
      let found: ConnectionState | undefined
      await eventually(async () => {
        found = (await states()).find(fits)
        return found !== undefined
      }, GIVE_UP_MS)
      if (found === undefined) throw new Error('no such state')
      return found
    },
  }
}

async function sendAll(service: TestApp, user: string, payloads: readonly number[]): Promise<void> {
  for (const payload of payloads) await send(service, user, payload)
}

async function sendMany(service: TestApp, user: string, count: number): Promise<void> {
  const item = (payload: number) => ({ target: { type: 'user', value: user }, event_type: 'e', payload })
  for (let from = 0; from < count; from += 100)
    await service.post('/api/v1/notifications/batch', { notifications: upTo(100).map(n => item(from + n)) })
}

describe('a page loses, repeats and reorders nothing', () => {
  test.each(['SIGTERM', 'SIGKILL'] as const)(
    'when the service ends by %s and starts again with its file',
    async signal => {
      await using place = await storePlace()
      const env = { ...LOG, STORE_URL: place.url, SERVER_PORT: String(await freePort()), DRAIN_SECONDS: '0' }
      const first = await startService(env)
      await using pages = await araPages(browser, first)
      const ann = await follow(pages, 'ann', first.url)
      for (const payload of upTo(20)) await first.send('ann', payload)
      await eventually(async () => (await gotBy(ann.page)).length >= 10)
      const endsAt = Date.now()
      first.signal(signal)
      const { retryAt = 0 } = await ann.until(({ state }) => state === 'waiting')
      // A drain says when to come back.
      if (signal === 'SIGTERM') expect(retryAt - endsAt).toBeGreaterThanOrEqual(1_000)
      await first.ended
      await using second = await startService(env)
      for (const payload of upTo(41).slice(20)) await second.send('ann', payload)
      await ann.sees(41)
    },
    TEST_MS,
  )

  test(
    'when a proxy answers 502 for a while',
    async () => {
      await using service = await startTestApp(LOG)
      await using gate = await startGate(service.port)
      gate.refuse = () => (gate.heads.length < 6 ? 502 : undefined)
      await using pages = await araPages(browser, service)
      const ann = await follow(pages, 'ann', gate.url, FAST)
      await ann.until(({ state, error }) => state === 'waiting' && error?.code === 'UNREACHABLE')
      await sendAll(service, 'ann', upTo(5))
      await ann.sees(5)
    },
    TEST_MS,
  )

  test(
    'when a WebSocket is blocked, and when it is not any more',
    async () => {
      await using service = await startTestApp(LOG)
      await using gate = await startGate(service.port)
      gate.refuse = head => (isUpgrade(head) ? 403 : undefined)
      await using pages = await araPages(browser, service)
      const ann = await follow(pages, 'ann', gate.url, IMPATIENT)
      await sendAll(service, 'ann', [1])
      await ann.until(({ transport }) => transport === 'sse')
      await sendAll(service, 'ann', [2])
      await ann.sees(2)
      gate.refuse = () => undefined
      await ann.until(({ transport }) => transport === 'websocket')
      await sendAll(service, 'ann', [3])
      await ann.sees(3)
    },
    TEST_MS,
  )

  test(
    'with 10,000 notifications, kept and live',
    async () => {
      await using service = await startTestApp(LOG)
      await sendMany(service, 'ann', 5_000)
      await using pages = await araPages(browser, service)
      const keep = '({ payload }) => void (globalThis.all ??= []).push(payload)'
      const { page } = await follow(pages, 'ann', service.url, '', keep)
      await sendMany(service, 'ann', 5_000)
      await eventually(
        async () => Number(await page.evaluate('globalThis.all?.length')) >= 10_000,
        GIVE_UP_MS,
      )
      expect(await page.evaluate('all')).toEqual([...upTo(5_000), ...upTo(5_000)])
      const saved = () => page.evaluate("localStorage.getItem('ara:ann')")
      await eventually(async () => String(await saved()).endsWith(':10000'))
    },
    TEST_MS,
  )

  test(
    'with a handler so slow that the client has to catch up from the log',
    async () => {
      await using service = await startTestApp(LOG)
      await using pages = await araPages(browser, service)
      const ann = await follow(
        pages,
        'ann',
        service.url,
        '',
        `async notification => {
          take(notification)
          if (notification.payload === 1) await new Promise(resolve => { globalThis.release = resolve })
        }`,
      )
      await ann.until(({ state }) => state === 'online')
      await sendMany(service, 'ann', 1_500)
      await eventually(async () => (await ann.states()).at(-1)?.state === 'connecting', GIVE_UP_MS)
      expect(await gotBy(ann.page)).toEqual([1])
      await ann.page.evaluate('release()')
      await ann.sees(1_500)
    },
    TEST_MS,
  )
})

test(
  'a page renews its token before it expires, and reconnects after it has expired',
  async () => {
    await using service = await startTestApp({ ...LOG, JWT_LEEWAY_SECONDS: '0' })
    await using pages = await araPages(browser, service)
    let asked = 0
    await pages.context.exposeFunction('ask', () => {
      asked++
      // The first is about to expire; the second question fails, so it does expire.
      if (asked === 2) throw new Error('out of tokens')
      return service.token('ann', { exp: Math.floor(Date.now() / 1000) + (asked === 1 ? 3 : 20) })
    })
    const ann = await follow(pages, 'ann', service.url, 'token: () => ask(),')
    await sendAll(service, 'ann', [1])
    await ann.until(({ state, error }) => state === 'online' && error?.code === 'TOKEN')
    await ann.until(({ state, error }) => state === 'waiting' && error?.code === 'UNAUTHORIZED')
    await sendAll(service, 'ann', [2])
    await ann.sees(2)
    // The third one is renewed on the open connection.
    await eventually(() => asked >= 4, GIVE_UP_MS)
    await sendAll(service, 'ann', [3])
    await ann.sees(3)
    expect((await ann.states()).filter(({ state }) => state === 'waiting')).toHaveLength(1)
  },
  TEST_MS,
)

test(
  'a page shows that its token endpoint fails, and asks again',
  async () => {
    await using service = await startTestApp(LOG)
    await using pages = await araPages(browser, service)
    const answers = [503, 503, 503]
    await pages.context.route('**/failing', async route => {
      const status = answers.shift()
      if (status === undefined) await route.fulfill({ body: await service.token('ann') })
      else await route.fulfill({ status, body: '<html>Service Unavailable</html>' })
    })
    const ann = await follow(
      pages,
      'ann',
      service.url,
      "token: () => fetch('/failing').then(response => response.text()),",
    )
    await sendAll(service, 'ann', [1])
    await ann.until(({ state, error }) => state === 'waiting' && error?.code === 'TOKEN')
    await ann.sees(1)
    expect((await ann.states()).at(-1)).toEqual({ state: 'online', transport: 'websocket' })
  },
  TEST_MS,
)

test.each(['', 'WebSocket: undefined,'])(
  'a page whose token is refused twice in a row is closed, also in front of another host (%s)',
  async options => {
    await using service = await startTestApp(LOG)
    await using pages = await araPages(browser, service)
    const token = await service.token('ann')
    const ann = await follow(pages, 'ann', service.url, `token: () => '${token}x', ${options}`)
    expect((await ann.until(({ state }) => state === 'closed')).error?.code).toBe('UNAUTHORIZED')
  },
  TEST_MS,
)

test(
  'a page beyond the connection limit shows the reason, and connects when there is room',
  async () => {
    await using service = await startTestApp({ ...LOG, WEBSOCKET_MAX_CONNECTIONS_PER_USER: '1' })
    await using pages = await araPages(browser, service)
    const first = await follow(pages, 'ann', service.url, 'shared: false,')
    await first.until(({ state }) => state === 'online')
    const second = await follow(pages, 'ann', service.url, `shared: false, ${FAST}`)
    const { error } = await second.until(({ state }) => state === 'waiting')
    expect(error?.code).toBe('CONNECTION_LIMIT')
    await first.page.close()
    await sendAll(service, 'ann', [1])
    await second.sees(1)
  },
  TEST_MS,
)

test(
  'a page acknowledges each notification except one whose handler throws, which is redelivered',
  async () => {
    await using service = await startTestApp(ACK)
    await using pages = await araPages(browser, service)
    const ann = await follow(
      pages,
      'ann',
      service.url,
      'onError: error => void (globalThis.thrown = error.message),',
      `notification => {
        take(notification)
        if (notification.payload === 2 && got().length === 2) throw new Error('not this time')
      }`,
    )
    await sendAll(service, 'ann', upTo(3))
    await eventually(async () => (await service.get('/stats')).json.ack.total_acked === 3, GIVE_UP_MS)
    expect([await gotBy(ann.page), await ann.page.evaluate('thrown')]).toEqual([
      [1, 2, 3, 2],
      'not this time',
    ])
  },
  TEST_MS,
)
