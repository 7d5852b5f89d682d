import { join } from 'node:path'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import type { TestApp } from './app.ts'
import { bundledClient } from './built-client.ts'

/** Notes what the application of a tab sees; `got` survives a reload. */
const SETUP = `
globalThis.got = () => JSON.parse(sessionStorage.getItem('got') ?? '[]')
globalThis.take = ({ payload }) => sessionStorage.setItem('got', JSON.stringify([...got(), payload]))
globalThis.tokenOf = user => async () => (await fetch('/token?' + user)).text()`

/** A clock for the client of a page whose timers take other times. */
export const pageClock = (time: string): string =>
  `clock: { now: () => Date.now(), setTimeout: (run, ms) => setTimeout(run, ${time}), clearTimeout: timer => clearTimeout(timer) },`

/** Follows as a user, with the place in the storage of the browser. */
const following = (user: string, options: string, hasHandler: boolean): string => `
import { createClient, localCursor } from '/ara.js'
globalThis.gaps = []
globalThis.ara = createClient({
  url: location.origin, token: tokenOf('${user}'), cursor: localCursor('ara:${user}'), ${options}
})
ara.onGap(gap => gaps.push(gap.reason))
${hasHandler ? "ara.on('e', take)" : ''}`

export interface AraPages extends AsyncDisposable {
  readonly context: BrowserContext
  /** Number of token requests. */
  readonly asked: number
  /** Opens a tab that follows as this user at each load; without a handler it only makes the client. */
  open(user: string, options?: string, hasHandler?: boolean): Promise<Page>
  /** The script of such a tab. */
  following(user: string): string
}

/** Payloads that the application of a tab has seen, reloads included. */
export const gotBy = (page: Page): Promise<readonly unknown[]> => page.evaluate('got()')

export const stateOf = (page: Page): Promise<string> => page.evaluate('ara.connection.state')

/** Opens tabs of one browser profile. */
export async function araPages(browser: Browser, service: Pick<TestApp, 'token'>): Promise<AraPages> {
  const context = await browser.newContext()
  const body = await Bun.file(join(await bundledClient(), 'index.js')).text()
  let asked = 0
  await context.route('**/ara.js', route =>
    route.fulfill({ contentType: 'text/javascript', headers: { 'access-control-allow-origin': '*' }, body }),
  )
  await context.route('**/token?*', async route => {
    asked++
    const user = new URL(route.request().url()).search.slice(1)
    await route.fulfill({ body: await service.token(user) })
  })
  return {
    context,
    get asked() {
      return asked
    },
    following: user => following(user, '', true),
    open: async (user, options = '', hasHandler = true) => {
      const page = await context.newPage()
      const scripts = `<script>${SETUP}</script><script type="module">${following(user, options, hasHandler)}</script>`
      await page.route('**/page', route =>
        route.fulfill({ contentType: 'text/html', body: `<!doctype html>${scripts}` }),
      )
      await page.goto('http://localhost:8081/page')
      return page
    },
    [Symbol.asyncDispose]: () => context.close(),
  }
}
