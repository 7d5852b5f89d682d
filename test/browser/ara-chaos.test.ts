import { expect, test } from 'bun:test'
import type { Page } from 'playwright-core'
import { startTestApp } from '../support/app.ts'
import { upTo } from '../support/ara.ts'
import { type AraPages, araPages, gotBy, stateOf } from '../support/ara-pages.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { startBrowser } from '../support/browser.ts'
import { startProxy } from '../support/proxy.ts'
import { createRandom } from '../support/random.ts'
import { eventually, send } from '../support/visit.ts'

const TEST_MS = 120_000
const TROUBLES = ['reload', 'close', 'crash', 'end', 'cut', 'open'] as const
const ROUNDS = 14
const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e6))

async function crash(page: Page): Promise<void> {
  const session = await page.context().newCDPSession(page)
  session.send('Page.crash').catch(() => {})
  await page.waitForEvent('crash')
}

async function openTab(pages: AraPages, options: string): Promise<Page> {
  const page = await pages.open('ann', options)
  await eventually(async () => (await stateOf(page)) === 'online', 30_000)
  return page
}

test.each(['', 'WebSocket: undefined,'])(
  `while tabs come, reload, end and crash, the others see everything once and in order (%s SEED=${seed})`,
  async options => {
    const random = createRandom(seed)
    await using service = await startTestApp({
      QUEUE_ENABLED: 'true',
      ACK_ENABLED: 'true',
      QUEUE_MAX_SIZE_PER_USER: '20000',
    })
    await using line = await startProxy(service.port)
    const browser = await startBrowser({ host: 'localhost:8081', port: line.port })
    try {
      await using pages = await araPages(browser, service)
      // The first one leads.
      const others = [await openTab(pages, options)]
      const steady = [await openTab(pages, options), await openTab(pages, options)]
      others.push(await openTab(pages, options))
      let sent = 0
      let isDone = false
      const sending = awaitedLater(
        (async () => {
          while (!isDone && sent < 1_000) await send(service, 'ann', ++sent)
        })(),
      )
      for (let round = 0; round < ROUNDS; round++) {
        const trouble = random.pick(TROUBLES)
        const page = others.shift()
        if (page === undefined || trouble === 'open') others.push(await pages.open('ann', options))
        if (page === undefined) continue
        if (trouble === 'cut') line.cut()
        if (trouble === 'reload') await page.reload()
        if (trouble === 'close') await page.close()
        if (trouble === 'crash') await crash(page)
        if (trouble === 'end') await page.evaluate('ara.close()')
        if (trouble === 'cut' || trouble === 'reload' || trouble === 'open') others.push(page)
      }
      isDone = true
      await sending
      for (const page of steady) {
        await eventually(async () => (await gotBy(page)).length >= sent, 30_000)
        expect({ got: await gotBy(page), gaps: await page.evaluate('gaps') }).toEqual({
          got: upTo(sent),
          gaps: [],
        })
      }
      await eventually(
        async () => (await service.get('/api/v1/users/ann/presence')).json.connections === 1,
        30_000,
      )
    } finally {
      await browser.close()
    }
  },
  TEST_MS,
)
