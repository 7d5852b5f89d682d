import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Browser, Page } from 'playwright-core'
import { startTestApp, type TestApp } from '../support/app.ts'
import { type AraPages, araPages } from '../support/ara-pages.ts'
import { startBrowser } from '../support/browser.ts'
import { pageScript } from '../support/page-script.ts'
import { eventually, publish, send, subscribers } from '../support/visit.ts'

const START_MS = 60_000
const TEST_MS = 60_000

let service: TestApp
let browser: Browser
let script: string

beforeAll(async () => {
  service = await startTestApp({ QUEUE_ENABLED: 'true', ACK_ENABLED: 'true' })
  browser = await startBrowser({ host: 'localhost:8081', port: service.port })
  script = await pageScript('hooks-page.ts')
}, START_MS)

afterAll(async () => {
  await browser.close()
  await service[Symbol.asyncDispose]()
})

interface HooksPage extends AsyncDisposable {
  readonly pages: AraPages
  readonly page: Page
  /** Errors that reach the page. */
  readonly faults: string[]
  /** Waits until the page has this text. */
  shows(text: string): Promise<unknown>
  noted(): Promise<readonly string[]>
}

/** Opens a page of components that use the hooks, with a client for each user. */
async function openHooks(...users: readonly string[]): Promise<HooksPage> {
  const pages = await araPages(browser, service)
  const page = await pages.open('unused', '', false)
  const faults: string[] = []
  page.on('pageerror', error => faults.push(error.message))
  await page.addScriptTag({ content: script, type: 'module' })
  await page.waitForFunction('globalThis.show !== undefined')
  for (const user of users) await page.evaluate(`make('${user}')`)
  return {
    pages,
    page,
    faults,
    shows: text => page.waitForFunction(`document.body.innerText === ${JSON.stringify(text)}`),
    noted: () => page.evaluate('noted'),
    [Symbol.asyncDispose]: () => pages[Symbol.asyncDispose](),
  }
}

const subscribersOf = (channel: string): Promise<number> => subscribers(service, channel)

const sendAs = async (type: string, user: string, payload: string): Promise<string> =>
  (await send(service, user, payload, { event_type: type })).notification_id

const isAcked = async (id: string): Promise<boolean> =>
  (await service.get(`/api/v1/notifications/${id}`)).json.recipients[0].state === 'acked'

test(
  'a component follows the client, the type and the channel that it has now, and waits without them',
  async () => {
    await using it = await openHooks('first', 'second')
    const { page } = it
    const show = (row: string) => page.evaluate(`show({ type: 'a', ${row} })`)
    for (const nothing of ['', 'user: null,', 'user: null, room: null,'])
      await show(`${nothing} version: 'none'`)
    await it.shows('none idle')
    expect(it.pages.asked).toBe(0)

    await show("version: 'one', user: 'first', room: 'red'")
    await it.shows('one online')
    await eventually(async () => (await subscribersOf('red')) === 1)
    await show("version: 'two', user: 'first', room: 'blue', type: 'b'")
    await eventually(async () => (await subscribersOf('blue')) === 1)
    await eventually(async () => (await subscribersOf('red')) === 0)
    await sendAs('a', 'first', 'of the type before')
    const seen = await sendAs('b', 'first', 'of this type')
    await eventually(() => isAcked(seen))

    await page.evaluate("clients.first.on('b', () => {})")
    await show("version: 'three', user: 'second', room: 'blue'")
    await it.shows('three online')
    const missed = await sendAs('a', 'first', 'to the client before')
    await eventually(() => isAcked(missed))
    const last = await sendAs('a', 'second', 'to this client')
    await eventually(() => isAcked(last))
    await page.evaluate('clients.first.close()')
    await it.shows('three online')
    await show("version: 'none', user: undefined, room: 'blue'")
    await it.shows('none idle')
    await eventually(async () => (await subscribersOf('blue')) === 0)
    expect(await it.noted()).toEqual(['two:of this type', 'three:to this client'])
    expect(it.faults).toEqual([])
  },
  TEST_MS,
)

test(
  'a component that shows the connection renders when that changes, and not when channels are joined',
  async () => {
    await using it = await openHooks('shown')
    await it.page.evaluate("show({ user: 'shown', type: 'a', version: 'it' })")
    await it.shows('it online')
    const renders = await it.page.evaluate('renders')
    await it.page.evaluate("clients.shown.subscribe('hall'); clients.shown.ready()")
    expect(await it.page.evaluate('renders')).toBe(renders)
  },
  TEST_MS,
)

test(
  'a component that the handler of another one unmounts at once is not called any more',
  async () => {
    await using it = await openHooks('clear')
    await it.page.evaluate(
      "show({ user: 'clear', type: 'a', version: 'one', then: 'clear' }, { user: 'clear', type: 'a', version: 'two' })",
    )
    await it.shows('one online\ntwo online')
    const id = await sendAs('a', 'clear', 'bye')
    await it.shows('')
    await eventually(() => isAcked(id))
    expect(await it.noted()).toEqual(['one:bye'])
    expect(it.faults).toEqual([])
  },
  TEST_MS,
)

test(
  'a handler that throws is reported to the page, not to error boundaries, and its component stays',
  async () => {
    await using it = await openHooks('throw')
    await it.page.evaluate("show({ user: 'throw', type: 'a', version: 'one', then: 'throw' })")
    await it.shows('one online')
    await sendAs('a', 'throw', 'bad')
    await eventually(() => it.faults.length > 0)
    await it.page.evaluate("show({ user: 'throw', type: 'a', version: 'two' })")
    await it.shows('two online')
    const id = await sendAs('a', 'throw', 'good')
    await eventually(() => isAcked(id))
    expect(await it.noted()).toEqual(['one:bad', 'two:good'])
    expect(it.faults).toEqual(['thrown by one'])
  },
  TEST_MS,
)

test(
  'a notification is acknowledged when its handler finishes, even if the component has unmounted meanwhile',
  async () => {
    await using it = await openHooks('wait')
    await it.page.evaluate("show({ user: 'wait', type: 'a', version: 'one', then: 'wait' })")
    const id = await sendAs('a', 'wait', 'slow')
    await it.page.waitForFunction('noted.length === 1')
    await it.page.evaluate('show()')
    await it.shows('')
    expect(await isAcked(id)).toBe(false)
    await it.page.evaluate('release()')
    await eventually(() => isAcked(id))
  },
  TEST_MS,
)

test(
  'during a transition the handler of the version on the screen is called, afterwards that of the next one',
  async () => {
    await using it = await openHooks('slow')
    await it.page.evaluate("show({ user: 'slow', type: 'a', version: 'one' })")
    await it.shows('one online')
    await it.page.evaluate("showSlowly({ user: 'slow', type: 'a', version: 'two', isSuspended: true })")
    await sendAs('a', 'slow', 'before')
    await it.page.waitForFunction('noted.length === 1')
    await it.page.evaluate('release()')
    await it.shows('two online')
    await sendAs('a', 'slow', 'after')
    await it.page.waitForFunction('noted.length === 2')
    expect(await it.noted()).toEqual(['one:before', 'two:after'])
    expect(it.faults).toEqual([])
  },
  TEST_MS,
)

test(
  'a hidden component leaves its channel and receives nothing; shown again, it receives with its newest handler',
  async () => {
    await using it = await openHooks('hide')
    const show = (row: string) =>
      it.page.evaluate(`show({ user: 'hide', type: 'a', room: 'cellar', ${row} })`)
    await show("version: 'one'")
    await eventually(async () => (await subscribersOf('cellar')) === 1)
    await it.page.evaluate("clients.hide.on('b', () => {})")
    await show("version: 'one', mode: 'hidden'")
    await eventually(async () => (await subscribersOf('cellar')) === 0)
    const id = await sendAs('a', 'hide', 'unheard')
    await eventually(() => isAcked(id))
    await show("version: 'two', mode: 'hidden'")
    await show("version: 'two'")
    await it.shows('two online')
    await eventually(async () => (await subscribersOf('cellar')) === 1)
    await publish(service, 'cellar', 'unwanted')
    await sendAs('a', 'hide', 'heard')
    await it.page.waitForFunction('noted.length === 1')
    expect(await it.noted()).toEqual(['two:heard'])
  },
  TEST_MS,
)
