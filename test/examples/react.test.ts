import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import { API_KEY } from '../support/app.ts'
import { startBrowser } from '../support/browser.ts'
import type { Message } from '../support/client.ts'
import { type RunningExample, settingsFor, startExample } from '../support/example.ts'
import { freePort } from '../support/free-port.ts'
import { type Service, startService } from '../support/service.ts'
import { eventually } from '../support/visit.ts'

const TEST_MS = 60_000

let folder: string
let env: Record<string, string>
let service: Service
let example: RunningExample
let browser: Browser

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'react-'))
  env = {
    SERVER_PORT: String(await freePort()),
    QUEUE_ENABLED: 'true',
    STORE_URL: `sqlite:${join(folder, 'ara.db')}`,
  }
  service = await startService(env)
  const settings = { ...settingsFor(service.url), BACKEND_PORT: String(await freePort()) }
  example = await startExample('react', settings)
  browser = await startBrowser({ host: 'localhost:8081', port: service.port })
}, TEST_MS)

afterAll(async () => {
  await browser.close()
  await example[Symbol.asyncDispose]()
  await service[Symbol.asyncDispose]()
  await rm(folder, { recursive: true })
})

async function ship(...orders: readonly number[]): Promise<void> {
  for (const order of orders) {
    const { status } = await fetch(`${example.url}/ship?order=${order}`, { method: 'POST' })
    expect(status).toBe(200)
  }
}

const shipped = (order: number): string => `Order ${order} is on its way`
const unread = (order: number): string => `${shipped(order)}, unread`
const rowsOf = (page: Page): Promise<string[]> =>
  page.getByRole('list', { name: 'Notifications' }).locator('li').allTextContents()

/** Waits until the bell shows this unread count, and says it to screen readers. */
async function untilUnread(page: Page, count: number): Promise<void> {
  const bell = page.getByRole('button', { name: `Notifications ${count} unread`, exact: true })
  await bell.waitFor()
  expect(await bell.locator('.badge').allTextContents()).toEqual(count === 0 ? [] : [String(count)])
  await page.getByRole('status').getByText(`${count} unread`, { exact: true }).waitFor()
}

async function open(page: Page): Promise<void> {
  await page.goto(example.url)
  await page.getByText('Online').waitFor()
  await page.getByRole('button', { expanded: false }).click()
}

test(
  'the bell shows each order once: live, after a reload, and over a restart of the service',
  async () => {
    const page = await browser.newPage()
    const faults: string[] = []
    page.on('pageerror', error => faults.push(error.message))
    await open(page)
    await untilUnread(page, 0)
    await page.getByText('No notifications yet.').waitFor()
    await ship(1)
    await untilUnread(page, 1)
    await page.getByText('No notifications yet.').waitFor({ state: 'detached' })
    await ship(2, 3)
    await untilUnread(page, 3)
    expect(await rowsOf(page)).toEqual([3, 2, 1].map(unread))

    await page.getByText(shipped(2)).click()
    await untilUnread(page, 2)
    await open(page)
    await untilUnread(page, 2)
    expect(await rowsOf(page)).toEqual([unread(3), shipped(2), unread(1)])

    service.signal('SIGKILL')
    await service.ended
    await page.getByText('Reconnecting…').waitFor()
    service = await startService(env)
    await ship(4, 5)
    await page.getByText('Online').waitFor()
    await untilUnread(page, 4)
    expect(await rowsOf(page)).toEqual([unread(5), unread(4), unread(3), shipped(2), unread(1)])
    expect(faults).toEqual([])
    await page.close()
  },
  TEST_MS,
)

test(
  'two tabs agree on what is read, also after a reload, and the keyboard keeps its place',
  async () => {
    const context = await browser.newContext()
    const [one, two] = [await context.newPage(), await context.newPage()]
    for (const page of [one, two]) await open(page)
    await ship(11, 12)
    await one.getByText(shipped(12)).waitFor()
    const before = await one.locator('.item').count()
    for (const page of [one, two]) await untilUnread(page, before)

    await one.getByText(shipped(11)).click()
    for (const page of [one, two]) await untilUnread(page, before - 1)
    await two.getByText(shipped(12)).focus()
    await two.keyboard.press('Enter')
    for (const page of [one, two]) await untilUnread(page, before - 2)
    expect(await two.evaluate('document.activeElement.textContent')).toBe(shipped(12))

    await one.reload()
    await untilUnread(one, before - 2)
    await two.getByText('Mark all as read').focus()
    await two.keyboard.press('Space')
    for (const page of [one, two]) await untilUnread(page, 0)
    expect(await two.evaluate('document.activeElement.textContent')).toBe('Mark all as read')
    await context.close()
  },
  TEST_MS,
)

test(
  'the bell says that it loads, and that loading failed until it is tried again',
  async () => {
    const page = await browser.newPage()
    const answer = Promise.withResolvers<void>()
    let body: string | undefined
    await page.route('**/me/notifications?*', async route => {
      await answer.promise
      if (body === undefined) await route.abort()
      else await route.fulfill({ contentType: 'application/json', body })
    })
    await page.route('**/token', route => route.fulfill({ status: 503 }))
    await page.goto(example.url)
    await page.getByText(/^Reconnecting… \(.*503/).waitFor()
    const bell = page.getByRole('button', { name: 'Notifications', exact: true })
    await bell.click()
    await page.getByText('Loading…').waitFor()
    expect(await page.locator('.badge').count()).toBe(0)

    await page.unroute('**/token')
    await page.getByText('Online').waitFor()
    await page.getByText('Loading…').waitFor()
    answer.resolve()
    await page.getByRole('alert').getByText('Not loaded: TypeError: Failed to fetch').waitFor()
    body = JSON.stringify({ notifications: [], cursor: null, has_more: false })
    await page.getByText('Try again').click()
    await page.getByRole('alert').waitFor({ state: 'detached' })
    await page.close()
  },
  TEST_MS,
)

test(
  'two people in a room read what the other says',
  async () => {
    const pages = await Promise.all([browser.newPage(), browser.newPage()])
    const [one, two] = pages
    for (const page of pages) await open(page)
    const subscribers = () =>
      fetch(`${service.url}/api/v1/channels/lobby`, { headers: { 'x-api-key': API_KEY } })
    await eventually(async () => ((await (await subscribers()).json()) as Message).subscriber_count === 2)
    await one.getByLabel('Message').fill('hello')
    await one.getByText('Say').click()
    for (const page of pages) await page.getByText('alice: hello').waitFor()
    await two.getByLabel('Message').fill('welcome')
    await two.getByText('Say').click()
    for (const page of pages) {
      await page.getByText('alice: welcome').waitFor()
      expect(await page.getByLabel('lobby').locator('li').allTextContents()).toEqual([
        'alice: hello',
        'alice: welcome',
      ])
    }
  },
  TEST_MS,
)
