import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Browser, Page } from 'playwright-core'
import { startTestApp, type TestApp } from '../support/app.ts'
import { araPages, gotBy } from '../support/ara-pages.ts'
import { startBrowser } from '../support/browser.ts'
import { pageScript } from '../support/page-script.ts'
import { connectionsOf, eventually, publish, send, subscribers } from '../support/visit.ts'

const START_MS = 60_000
const TEST_MS = 60_000
const COMPONENTS = 50

let service: TestApp
let browser: Browser
let script: string

beforeAll(async () => {
  service = await startTestApp({ QUEUE_ENABLED: 'true' })
  browser = await startBrowser({ host: 'localhost:8081', port: service.port })
  script = await pageScript('react-page.ts')
}, START_MS)

afterAll(async () => {
  await browser.close()
  await service[Symbol.asyncDispose]()
})

const subscribersOf = (channel: string): Promise<number> => subscribers(service, channel)

/** Opens a tab whose client only React uses, and renders the page over some HTML. */
async function openReact(page: Page, html = ''): Promise<void> {
  await page.evaluate(`document.body.innerHTML = ${JSON.stringify(html)}`)
  await page.addScriptTag({ content: script, type: 'module' })
  await page.waitForFunction('globalThis.show !== undefined')
}

const has = (page: Page, count: number): Promise<void> =>
  eventually(async () => (await gotBy(page)).length >= count, 30_000)

test(
  'in StrictMode 50 components share one connection and one subscription, and call the newest handler once',
  async () => {
    await using pages = await araPages(browser, service)
    const page = await pages.open('react', '', false)
    const faults: string[] = []
    page.on('console', message => message.type() === 'error' && faults.push(message.text()))
    await openReact(page)
    expect(await page.locator('ul').textContent()).toBe('idle')
    await page.evaluate(`show(${COMPONENTS})`)
    await eventually(async () => (await subscribersOf('room')) === 1)
    expect(await connectionsOf(service, 'react')).toBe(1)
    await page.evaluate(`show(${COMPONENTS})`)
    const texts = async () => (await page.locator('li').allTextContents()).join()
    await eventually(async () => (await texts()) === Array(COMPONENTS).fill('2 online').join())
    await send(service, 'react', 'one')
    await has(page, COMPONENTS)
    expect(await gotBy(page)).toEqual(Array.from({ length: COMPONENTS }, (_, n) => `${n}:2:one`))
    expect({ asked: pages.asked, faults }).toEqual({ asked: 1, faults: [] })
  },
  TEST_MS,
)

test(
  'components that come and go leave the connection alone and hear nothing twice',
  async () => {
    await using pages = await araPages(browser, service)
    const page = await pages.open('flicker', '', false)
    await openReact(page)
    await page.evaluate('show(1)')
    await eventually(async () => (await subscribersOf('room')) === 1)
    for (let n = 0; n < 10; n++)
      await page.evaluate(
        'unmountRow = n => new Promise(r => { show(n); setTimeout(r) }), unmountRow(0).then(() => unmountRow(1))',
      )
    await publish(service, 'room', 'hello')
    await has(page, 1)
    expect(await gotBy(page)).toEqual(['0:21:hello'])
    expect(await connectionsOf(service, 'flicker')).toBe(1)
    await page.evaluate('unmount()')
    await eventually(async () => (await subscribersOf('room')) === 0)
  },
  TEST_MS,
)

test(
  'a component that goes before the client is connected leaves nothing behind',
  async () => {
    await using pages = await araPages(browser, service)
    const page = await pages.open('flight', '', false)
    await openReact(page)
    await page.evaluate('show(1)')
    await eventually(() => pages.asked === 1)
    await page.evaluate('unmount()')
    await eventually(async () => (await connectionsOf(service, 'flight')) === 1)
    await page.evaluate('ara.ready()')
    expect(await subscribersOf('room')).toBe(0)
  },
  TEST_MS,
)

test(
  'a page that a server rendered is taken over without a warning',
  async () => {
    await using pages = await araPages(browser, service)
    const page = await pages.open('hydrated', '', false)
    const faults: string[] = []
    page.on('console', message => message.type() === 'error' && faults.push(message.text()))
    page.on('pageerror', error => faults.push(error.message))
    // The client is online before React begins.
    await page.evaluate("ara.on('other', () => {}); ara.ready()")
    await openReact(page, '<ul>idle</ul>')
    await eventually(async () => (await page.locator('ul').textContent()) === 'online')
    expect(faults).toEqual([])
  },
  TEST_MS,
)

test(
  'a client that is made again, as at a hot reload, shares the connection of the one before',
  async () => {
    await using pages = await araPages(browser, service)
    const page = await pages.open('hot')
    await page.evaluate('ara.ready()')
    await page.evaluate('globalThis.before = ara')
    await page.addScriptTag({ content: pages.following('hot'), type: 'module' })
    await page.waitForFunction('ara !== before')
    await page.evaluate('ara.ready()')
    await send(service, 'hot', 1)
    await has(page, 2)
    expect(await gotBy(page)).toEqual([1, 1])
    expect(await connectionsOf(service, 'hot')).toBe(1)
  },
  TEST_MS,
)
