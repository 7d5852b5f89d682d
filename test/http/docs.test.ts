import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { startTestApp, type TestApp } from '../support/app.ts'

let app: TestApp
beforeAll(async () => {
  app = await startTestApp()
})
afterAll(() => app[Symbol.asyncDispose]())

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const filesOf = (page: string): readonly string[] =>
  [...page.matchAll(/(?:src|href)="(docs\/[^"]+)"/g)].map(([, file = '']) => `/${file}`)

const safetyOf = ({ headers }: Response) => ({
  policy: headers.get('content-security-policy'),
  sniff: headers.get('x-content-type-options'),
  referrer: headers.get('referrer-policy'),
})
const SAFE = { policy: POLICY, sniff: 'nosniff', referrer: 'no-referrer' }

test('the page is HTML without inline code and styles, and refers to no other host', async () => {
  const response = await fetch(`${app.url}/docs`)
  const page = await response.text()
  expect([response.status, response.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8'])
  expect(safetyOf(response)).toEqual(SAFE)
  expect(response.headers.get('cache-control')).toBe('no-cache')
  expect(page).not.toMatch(/<script>|<style|style=|\bon\w+=|https?:|src="\/\//)
  expect(filesOf(page)).toHaveLength(3)
})

test('the server does not resend the page to a client with a current copy', async () => {
  const etag = (await fetch(`${app.url}/docs`)).headers.get('etag') ?? ''
  const again = await fetch(`${app.url}/docs`, { headers: { 'if-none-match': etag } })
  expect([again.status, await again.text()]).toEqual([304, ''])
  const other = await fetch(`${app.url}/docs`, { headers: { 'if-none-match': '"other"' } })
  expect(other.status).toBe(200)
})

test('the files of the page exist, are immutable, and have the right media types', async () => {
  const types: (string | null)[] = []
  for (const file of filesOf(await (await fetch(`${app.url}/docs`)).text())) {
    const response = await fetch(app.url + file)
    const text = await response.text()
    expect([file, response.status, text.length > 50]).toEqual([file, 200, true])
    expect(response.headers.get('cache-control')).toBe('public, max-age=31536000, immutable')
    expect(safetyOf(response)).toEqual(SAFE)
    const head = await fetch(app.url + file, { method: 'HEAD' })
    expect([head.status, await head.text()]).toEqual([200, ''])
    expect(head.headers.get('content-length')).toBe(response.headers.get('content-length'))
    types.push(response.headers.get('content-type'))
  }
  expect(types.sort()).toEqual(
    ['text/css', ...Array(2).fill('text/javascript')].map(type => `${type}; charset=utf-8`),
  )
})

describe('the server serves no other file under /docs', () => {
  for (const path of [
    '/docs/',
    '/docs/index.html',
    '/docs/..%2Fpackage.json',
    '/docs/swagger-ui.js',
    '/docs/a/b',
  ])
    test(path, async () => {
      const { status, json } = await app.get(path)
      expect([status, json.error.code]).toEqual([404, 'NOT_FOUND'])
    })

  for (const path of ['/docs', '/openapi.json', '/docs/swagger-ui.js'])
    test(`POST ${path}`, async () => {
      const response = await fetch(app.url + path, { method: 'POST' })
      expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
    })
})

test('the page needs neither key nor token and is not rate limited', async () => {
  await using strict = await startTestApp({
    RATELIMIT_ENABLED: 'true',
    RATELIMIT_HTTP_BURST_SIZE: '1',
    RATELIMIT_HTTP_REQUESTS_PER_SECOND: '1',
  })
  const statuses: number[] = []
  for (let n = 0; n < 3; n++)
    for (const path of ['/docs', '/openapi.json']) statuses.push((await fetch(strict.url + path)).status)
  expect(statuses).toEqual(Array(6).fill(200))
})
