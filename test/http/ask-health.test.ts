import { expect, test } from 'bun:test'
import { API_KEY } from '../support/app.ts'
import { freePort } from '../support/free-port.ts'
import { spawnService, startService } from '../support/service.ts'

const FROM_SOURCE = { command: [process.execPath, 'src/main.ts', 'health'], cwd: `${import.meta.dir}/../..` }

for (const host of ['127.0.0.1', '0.0.0.0', '::', '[::]', '::1', '[::1]', 'localhost'])
  test(`"health" finds the service that listens on ${host}`, async () => {
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
