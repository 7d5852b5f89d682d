import { expect, setDefaultTimeout, test } from 'bun:test'
import { createServer } from 'node:net'
import { API_KEY } from '../support/app.ts'
import { runCli } from '../support/cli.ts'
import { freePort } from '../support/free-port.ts'
import { spawnService, startService } from '../support/service.ts'

// Each command is a process of its own: a busy machine needs seconds for several.
setDefaultTimeout(20_000)

const FROM_SOURCE = { command: [process.execPath, 'src/main.ts', 'health'], cwd: `${import.meta.dir}/../..` }

for (const host of ['127.0.0.1', '0.0.0.0', '::', '[::]', '::1', '[::1]', 'localhost'])
  test(`the health command reaches a server that listens on ${host}`, async () => {
    const env = { SERVER_HOST: host, SERVER_PORT: String(await freePort()), API_KEY }
    await using service = await startService({ ...env, DRAIN_SECONDS: '0' })
    const ask = async () => {
      const child = spawnService(env, FROM_SOURCE)
      return [await child.exited, await child.stderr.text()]
    }
    expect(await ask()).toEqual([0, ''])
    service.signal('SIGTERM')
    await service.ended
    expect(await ask()).toEqual([1, expect.stringMatching(/^[^\n]*ECONNREFUSED[^\n]*\n$/)])
  }, 20_000)

test('the health command times out on an answer that never ends', async () => {
  using dripping = createDripping()
  const child = spawnService({ SERVER_PORT: String(await dripping.port) }, FROM_SOURCE)
  expect([await child.exited, await child.stderr.text()]).toEqual([
    1,
    expect.stringMatching(/^no answer from [^\n]+\n$/),
  ])
}, 20_000)

test('the health command does not take another program for the service', async () => {
  await using other = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response('hello') })
  const url = `http://127.0.0.1:${other.port}`
  expect(await runCli(['health', '--url', url])).toEqual({
    code: 1,
    stdout: '',
    stderr: `another program answers at ${url} (HTTP 200): correct SERVER_PORT or --url\n`,
  })
})

/** A server that sends endless headers. */
function createDripping() {
  const port = Promise.withResolvers<number>()
  const server = createServer(socket => {
    socket.write('HTTP/1.1 200 OK\r\n')
    const timer = setInterval(() => socket.write('x-a: b\r\n'), 100)
    socket.on('error', () => {})
    socket.on('close', () => clearInterval(timer))
  }).listen(0, '127.0.0.1', () => {
    const address = server.address()
    port.resolve(typeof address === 'object' && address !== null ? address.port : 0)
  })
  return { port: port.promise, [Symbol.dispose]: () => server.close() }
}
