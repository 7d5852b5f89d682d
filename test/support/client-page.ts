import type { Browser, BrowserContext, Page } from 'playwright-core'
import type { TestApp } from './app.ts'
import { clientModules } from './samples.ts'

/** Runs an effect as React's StrictMode does: mount, unmount, mount. */
const STRICT_REACT = `
export const useRef = () => ({})
export const useEffect = effect => { effect()(); effect() }
`

/** Defines for every page how it gets its token; `got` survives a reload, per tab. */
const SETUP = `
globalThis.url = location.origin
globalThis.getToken = async () => {
  const response = await fetch('/token')
  if (!response.ok) throw new Error('no token')
  return response.text()
}
globalThis.got = () => JSON.parse(sessionStorage.getItem('got') ?? '[]')
globalThis.take = ({ payload }) => sessionStorage.setItem('got', JSON.stringify([...got(), payload]))
`

const PAGE = `<!doctype html>
<script type="importmap">{"imports":{"react":"/react.js"}}</script>
<script>${SETUP}</script>`

export interface ClientPages extends AsyncDisposable {
  readonly context: BrowserContext
  /** Number of token requests. */
  readonly asked: number
  /** Switches the token endpoint on or off. */
  tokens(work: boolean): void
  /** Opens a tab that runs the script at each load; it may import the modules of `docs/PROTOCOL.md`. */
  open(script: string): Promise<Page>
}

/** Reads the notifications of the tab so far, reloads included. */
export const gotBy = (page: Page): Promise<readonly unknown[]> => page.evaluate('got()')

/** Opens tabs of one browser profile with one signed-in user. */
export async function clientPages(browser: Browser, service: TestApp, user: string): Promise<ClientPages> {
  const context = await browser.newContext()
  let asked = 0
  let work = true
  const files = { ...(await clientModules()), 'react.js': STRICT_REACT }
  for (const [name, body] of Object.entries(files))
    await context.route(`**/${name}`, route => route.fulfill({ contentType: 'text/javascript', body }))
  await context.route('**/page', route => route.fulfill({ contentType: 'text/html', body: PAGE }))
  await context.route('**/token', async route => {
    asked++
    if (!work) return route.fulfill({ status: 503 })
    return route.fulfill({ body: await service.token(user) })
  })
  return {
    context,
    get asked() {
      return asked
    },
    tokens: now => {
      work = now
    },
    open: async script => {
      const page = await context.newPage()
      const content = `<script type="module">${script}</script>`
      await page.route('**/page', route =>
        route.fulfill({ contentType: 'text/html', body: `${PAGE}${content}` }),
      )
      await page.goto('http://localhost:8081/page')
      return page
    },
    [Symbol.asyncDispose]: () => context.close(),
  }
}
