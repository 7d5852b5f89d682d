import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Browser, Page } from 'playwright-core'
import { API_KEY, startTestApp, type TestApp } from '../support/app.ts'
import { startBrowser } from '../support/browser.ts'
import { DOCUMENT, operationsOf } from '../support/openapi.ts'

const START_MS = 30_000
/** Time limit for the page on a busy machine. */
const PAGE_MS = 60_000
const HOST = 'http://localhost:8081'

let app: TestApp
let browser: Browser

beforeAll(async () => {
  app = await startTestApp({ QUEUE_ENABLED: 'true' })
  browser = await startBrowser({ host: 'localhost:8081', port: app.port })
}, START_MS)

afterAll(async () => {
  await browser.close()
  await app[Symbol.asyncDispose]()
})

interface Visit extends AsyncDisposable {
  readonly page: Page
  /** Requested URLs. */
  readonly hosts: ReadonlySet<string>
  /** Complaints of browser and page: policy violations, missing files, exceptions. */
  readonly complaints: readonly string[]
}

async function visit(): Promise<Visit> {
  const context = await browser.newContext()
  const page = await context.newPage()
  const hosts = new Set<string>()
  const complaints: string[] = []
  page.on('request', request => hosts.add(new URL(request.url()).origin))
  page.on('pageerror', error => complaints.push(error.message))
  page.on('console', message => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
  })
  await page.goto(`${HOST}/docs`)
  return { page, hosts, complaints, [Symbol.asyncDispose]: () => context.close() }
}

/** The part of an element that a test reads. */
interface Shown {
  querySelector(name: string): { readonly textContent: string | null } | null
}

test(
  'the page shows every operation, complains of nothing, and asks no other host',
  async () => {
    await using visitor = await visit()
    const { page, hosts, complaints } = visitor
    await page.waitForSelector('.opblock')
    const shown = await page.locator('.opblock').evaluateAll((blocks: readonly Shown[]) =>
      blocks.map(block => {
        const textOf = (name: string) =>
          block.querySelector(name)?.textContent?.replaceAll('\u200b', '') ?? ''
        return `${textOf('.opblock-summary-method')} ${textOf('.opblock-summary-path')}`
      }),
    )
    const described = operationsOf(DOCUMENT).map(({ method, path }) => `${method} ${path}`)
    expect(shown.sort()).toEqual(described.sort())
    expect([...hosts].filter(host => host !== HOST && !host.startsWith('null'))).toEqual([])
    expect(complaints).toEqual([])
  },
  PAGE_MS,
)

test(
  'a request is tried from the page, with a key',
  async () => {
    await using visitor = await visit()
    const { page, complaints } = visitor
    await page.locator('.authorize.unlocked').first().click()
    await page.locator('.auth-container', { hasText: 'X-API-Key' }).locator('input').fill(API_KEY)
    await page.locator('.auth-container', { hasText: 'X-API-Key' }).locator('button.authorize').click()
    await page.locator('.btn-done').first().click()
    const block = page.locator('#operations-Sending-sendToUser')
    await block.locator('.opblock-summary-control').click()
    await block.locator('.try-out__btn').click()
    await block.locator('.execute').click()
    const answer = block.locator('.live-responses-table')
    await answer.waitFor()
    expect(await answer.locator('.response-col_status').last().textContent()).toStartWith('200')
    expect(await answer.locator('.highlight-code').first().textContent()).toContain('"status": "queued"')
    expect((await app.get('/api/v1/users/u-7/notifications')).json.notifications).toHaveLength(1)
    expect(complaints).toEqual([])
  },
  PAGE_MS,
)

test(
  'what the policy forbids is found out',
  async () => {
    await using visitor = await visit()
    const { page, complaints } = visitor
    await page.evaluate(
      `document.body.append(Object.assign(new Image(), { src: 'http://example.org/x.png' }))`,
    )
    await page.evaluate(
      `document.body.append(Object.assign(document.createElement('script'), { text: 'window.bad = 1' }))`,
    )
    expect(await page.evaluate('window.bad')).toBeUndefined()
    expect(complaints.filter(text => text.includes('Content Security Policy'))).toHaveLength(2)
  },
  PAGE_MS,
)
