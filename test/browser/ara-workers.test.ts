import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { startTestApp } from '../support/app.ts'
import { startBrowser } from '../support/browser.ts'
import { bundledClient } from '../support/built-client.ts'
import { eventually, send } from '../support/visit.ts'

const TEST_MS = 60_000

/** Follows as the user of a token, and tells the pages. */
const worker = (url: string, token: string): string => `
import { createClient } from '/ara.js'
const tell = text => new BroadcastChannel('told').postMessage(name + ' ' + text)
const name = self.constructor.name
const ara = createClient({ url: '${url}', token: () => '${token}' })
ara.on('e', ({ payload }) => tell(payload))
ara.ready().then(() => tell(ara.connection.state))
globalThis.onconnect = () => {}
globalThis.oninstall = () => skipWaiting()`

test(
  'a client runs in dedicated, shared and service workers, and they share one connection',
  async () => {
    await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
    const files: Readonly<Record<string, string>> = {
      '/ara.js': await Bun.file(join(await bundledClient(), 'index.js')).text(),
      '/worker.js': worker(service.url, await service.token('ann')),
    }
    await using server = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      fetch: request => {
        const body = files[new URL(request.url).pathname]
        const type = body === undefined ? 'text/html' : 'text/javascript'
        return new Response(body ?? '<!doctype html>', { headers: { 'content-type': type } })
      },
    })
    const browser = await startBrowser({ host: 'localhost:8081', port: server.port ?? 0 })
    try {
      const page = await browser.newPage()
      await page.goto('http://localhost:8081/')
      await page.evaluate(`
      globalThis.told = []
      new BroadcastChannel('told').onmessage = ({ data }) => told.push(data)
      globalThis.workers = [
        new Worker('/worker.js', { type: 'module' }),
        new SharedWorker('/worker.js', { type: 'module' }),
        navigator.serviceWorker.register('/worker.js', { type: 'module' }),
      ]`)
      const kinds = ['DedicatedWorkerGlobalScope', 'ServiceWorkerGlobalScope', 'SharedWorkerGlobalScope']
      const told = async (what: string) => {
        const all = (await page.evaluate('told')) as readonly string[]
        return all.filter(text => text.endsWith(what)).toSorted()
      }
      await eventually(async () => (await told('online')).length === kinds.length, 20_000)
      await send(service, 'ann', 'hello')
      await eventually(async () => (await told('hello')).length >= kinds.length, 20_000)
      expect(await told('hello')).toEqual(kinds.map(kind => `${kind} hello`))
      expect((await service.get('/api/v1/users/ann/presence')).json.connections).toBe(1)
    } finally {
      await browser.close()
    }
  },
  TEST_MS,
)
