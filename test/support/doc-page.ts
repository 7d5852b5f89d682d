import { join } from 'node:path'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { bundledClient } from './built-client.ts'

export interface DocPage extends AsyncDisposable {
  readonly context: BrowserContext
  readonly page: Page
  /** Errors of the page. */
  readonly complaints: readonly string[]
}

/** Opens a page of `localhost:8081` that runs a module with `url`, `token` and `ara-client`, as code in documents expects. */
export async function openDocPage(browser: Browser, signedToken: string, module: string): Promise<DocPage> {
  const context = await browser.newContext()
  const library = await Bun.file(join(await bundledClient(), 'index.js')).text()
  const body = `<!doctype html>
<script type="importmap">{"imports":{"ara-client":"/ara-client.js"}}</script>
<script>
const url = location.origin
const token = () => fetch('/token').then(response => response.text())
</script>
<script type="module">${module}</script>`
  await context.route('**/page', route => route.fulfill({ contentType: 'text/html', body }))
  await context.route('**/ara-client.js', route =>
    route.fulfill({ contentType: 'text/javascript', body: library }),
  )
  await context.route('**/token', route => route.fulfill({ body: signedToken }))
  const page = await context.newPage()
  const complaints: string[] = []
  page.on('pageerror', error => complaints.push(error.message))
  await page.goto('http://localhost:8081/page')
  return { context, page, complaints, [Symbol.asyncDispose]: () => context.close() }
}
