import style from 'swagger-ui-dist/swagger-ui.css' with { type: 'file' }
import script from 'swagger-ui-dist/swagger-ui-bundle.js' with { type: 'file' }
import { type Asset, assetOf } from './asset.ts'

/** Forbids other hosts and inline code. */
const SAFE = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
}
/** Cached for good: each file name contains the hash of its content. */
const FOREVER = 'public, max-age=31536000, immutable'

// Sends requests to the page's own address, also behind a proxy with a path prefix.
const START = `fetch('openapi.json').then(answer => answer.json()).then(spec => SwaggerUIBundle({
  spec: { ...spec, servers: [{ url: new URL('.', location.href).href }] },
  dom_id: '#page', deepLinking: true, validatorUrl: null }))`

// Uses relative URLs, which work behind a proxy with a path prefix.
const pageWith = (names: {
  readonly script: string
  readonly style: string
  readonly start: string
}) => `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Ara Notification Service</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/${names.style}">
<div id="page"></div>
<script src="docs/${names.script}"></script>
<script src="docs/${names.start}"></script>
</html>
`

interface Page {
  readonly page: Asset
  /** Scripts and style sheets by name. */
  readonly files: ReadonlyMap<string, Asset>
}

const typed = (type: string) => ({
  ...SAFE,
  'content-type': `${type}; charset=utf-8`,
  'cache-control': FOREVER,
})

async function fileOf(path: string, name: string, type: string) {
  const bytes = await Bun.file(path).bytes()
  const [stem, ending] = name.split('.')
  return {
    name: `${stem}-${Bun.hash(bytes).toString(36)}.${ending}`,
    asset: { body: Bun.file(path), headers: typed(type) },
  }
}

/** The page that shows the OpenAPI document, with the files it loads. */
export async function pageAssets(): Promise<Page> {
  const bundle = await fileOf(script, 'swagger-ui.js', 'text/javascript')
  const css = await fileOf(style, 'swagger-ui.css', 'text/css')
  const start = {
    name: `start-${Bun.hash(START).toString(36)}.js`,
    asset: { body: START, headers: typed('text/javascript') },
  }
  const html = pageWith({ script: bundle.name, style: css.name, start: start.name })
  return {
    page: assetOf(html, { ...SAFE, 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-cache' }),
    files: new Map([bundle, css, start].map(({ name, asset }) => [name, asset])),
  }
}
