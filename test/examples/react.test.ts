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
const rowsOf = (page: Page): Promise<string[]> =>
  page.getByLabel('Notifications').locator('li').allTextContents()

/** Waits for this unread count. */
const untilUnread = (page: Page, count: number): Promise<void> =>
  eventually(async () => (await page.getByLabel('Unread').textContent()) === String(count))

async function open(page: Page): Promise<void> {
  await page.goto(example.url)
  await page.getByText('online').waitFor()
  await page.getByRole('button', { expanded: false }).click()
}

test(
  'the bell shows each order once: live, after a reload, and over a restart of the service',
  async () => {
    const page = await browser.newPage()
    const faults: string[] = []
    page.on('pageerror', error => faults.push(error.message))
    await ship(1)
    await open(page)
    await untilUnread(page, 1)
    await ship(2, 3)
    await untilUnread(page, 3)
    expect(await rowsOf(page)).toEqual([3, 2, 1].map(shipped))

    await page.getByText(shipped(2)).click()
    await untilUnread(page, 2)
    await open(page)
    await untilUnread(page, 2)
    expect(await page.getByText(shipped(2)).isDisabled()).toBe(true)

    service.signal('SIGKILL')
    await service.ended
    await page.getByText('waiting').waitFor()
    service = await startService(env)
    await ship(4, 5)
    await page.getByText('online').waitFor()
    await untilUnread(page, 4)
    expect(await rowsOf(page)).toEqual([5, 4, 3, 2, 1].map(shipped))
    expect(faults).toEqual([])
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
