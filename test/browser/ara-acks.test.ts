import { expect, test } from 'bun:test'
import { startTestApp } from '../support/app.ts'
import { araPages, gotBy, stateOf } from '../support/ara-pages.ts'
import { startBrowser } from '../support/browser.ts'
import { eventually, send } from '../support/visit.ts'

const TEST_MS = 60_000
/** Acknowledgements wait longer than a page lives. */
const CLOCK = `clock: {
  now: () => Date.now(),
  setTimeout: (run, ms) => setTimeout(run, ms === 250 ? 60_000 : ms),
  clearTimeout: timer => clearTimeout(timer),
},`

test.each(['', 'WebSocket: undefined,'])(
  'a page that is reloaded or closed has acknowledged what it handled (%s)',
  async options => {
    await using service = await startTestApp({ QUEUE_ENABLED: 'true', ACK_ENABLED: 'true' })
    const browser = await startBrowser({ host: 'localhost:8081', port: service.port })
    try {
      await using pages = await araPages(browser, service)
      const page = await pages.open('ann', options + CLOCK)
      const acked = async () => (await service.get('/stats')).json.ack.total_acked
      for (const [n, leave] of [() => page.reload(), () => page.reload(), () => page.close()].entries()) {
        await eventually(async () => (await stateOf(page)) === 'online')
        // As many pages do. The browser then ends streams before it tells the page.
        await page.evaluate(
          "for (const type of ['beforeunload', 'pagehide']) addEventListener(type, () => {})",
        )
        await send(service, 'ann', n)
        // Its place is saved when it has been handled.
        const saved = () => page.evaluate("localStorage.getItem('ara:ann')")
        await eventually(async () => String(await saved()).endsWith(`:${n + 1}`))
        expect([(await gotBy(page)).length, await acked()]).toEqual([n + 1, n])
        await leave()
        await eventually(async () => (await acked()) === n + 1)
      }
    } finally {
      await browser.close()
    }
  },
  TEST_MS,
)
