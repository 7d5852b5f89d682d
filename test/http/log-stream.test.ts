import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { closeSync, openSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { API_KEY } from '../support/app.ts'
import { createFifo } from '../support/fifo.ts'
import { freePort } from '../support/free-port.ts'

const ROOT = join(import.meta.dir, '../..')
const HUNG_UP = ['bash', '-c', 'trap "" HUP; exec "$@"', 'bash']
const TRIES = 20
const SEND = '{"target_user_id":"u","event_type":"e","payload":1}'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ara-stdout-'))
})
afterAll(() => rm(folder, { recursive: true }))

/** Targets of stdout, and their state before the first request. */
interface Stdout {
  readonly to: { readonly stdout: number } | { readonly terminal: Bun.Terminal }
  /** Makes all later writes fail. */
  breakIt(): void
  close(): void
}

const fullDisk = (): Stdout => {
  const fd = openSync('/dev/full', 'w')
  return { to: { stdout: fd }, breakIt: () => {}, close: () => closeSync(fd) }
}

const goneReader = (): Stdout => {
  const fifo = createFifo(folder)
  return {
    to: { stdout: fifo.writeEnd },
    breakIt: fifo.closeReadEnd,
    close: () => fifo.close(),
  }
}

const goneTerminal = (): Stdout => {
  const terminal = new Bun.Terminal({})
  return { to: { terminal }, breakIt: () => terminal.close(), close: () => {} }
}

const stoppedReader = (): Stdout => {
  const fifo = createFifo(folder)
  fifo.fill()
  return { to: { stdout: fifo.writeEnd }, breakIt: () => {}, close: () => fifo.close() }
}

const BROKEN: readonly (readonly [name: string, stdout: () => Stdout, drops: boolean])[] = [
  ['a full disk', fullDisk, true],
  ['a pipe whose reader is gone', goneReader, true],
  ['a terminal that is gone', goneTerminal, true],
  ['a reader that has stopped', stoppedReader, false],
]

const environment = (env: Record<string, string>) => ({
  PATH: process.env['PATH'] ?? '',
  SERVER_HOST: '127.0.0.1',
  API_KEY,
  REDIS_URL: '',
  DRAIN_SECONDS: '1',
  ...env,
})

/** Starts a server and waits until it answers, since its stdout is broken. */
async function start(format: string, to: Stdout['to']) {
  const port = await freePort()
  const child = Bun.spawn([...HUNG_UP, process.execPath, 'src/main.ts'], {
    cwd: ROOT,
    env: environment({ SERVER_PORT: String(port), LOG_FORMAT: format }),
    stdin: 'ignore',
    stderr: 'pipe',
    ...to,
  })
  const url = `http://127.0.0.1:${port}`
  const isUp = async () => {
    try {
      return (await (await fetch(`${url}/health/live`)).text()) !== ''
    } catch {
      return false
    }
  }
  while (child.exitCode === null && !(await isUp())) await Bun.sleep(5)
  return { child, url }
}

const send = async (url: string, key: string): Promise<number> => {
  const headers = { 'content-type': 'application/json', 'x-api-key': key }
  const response = await fetch(`${url}/api/v1/notifications/send`, { method: 'POST', headers, body: SEND })
  await response.text()
  return response.status
}

const dropped = async (url: string): Promise<number> =>
  Number(/^ara_log_lines_dropped_total (\d+)$/m.exec(await (await fetch(`${url}/metrics`)).text())?.[1])

describe.each(['json', 'text'])('with a log of %s', format => {
  test.each(BROKEN)(
    '%s costs log lines and nothing else',
    async (_, open, drops) => {
      const stdout = open()
      const { child, url } = await start(format, stdout.to)
      stdout.breakIt()
      const answers: number[] = []
      for (let n = 0; n < TRIES; n++) answers.push(await send(url, 'wrong'), await send(url, API_KEY))
      expect(answers).toEqual(Array.from({ length: TRIES }, () => [401, 200]).flat())
      // The server writes lines during the requests.
      while (drops && (await dropped(url)) === 0) await send(url, 'wrong')
      child.kill('SIGTERM')
      expect(await child.exited).toBe(0)
      stdout.close()
    },
    30_000,
  )

  test('a new reader learns how many lines are missing and reads the following ones', async () => {
    const fifo = createFifo(folder)
    const { child, url } = await start(format, { stdout: fifo.writeEnd })
    fifo.closeReadEnd()
    await send(url, 'wrong')
    while ((await dropped(url)) === 0) await Bun.sleep(5)
    fifo.openReadEnd()
    expect(await fifo.untilMatch(/log\.lines_dropped.*\n/)).toMatch(/"?lines"?:\s?1\b/)
    await send(url, 'wrong')
    await fifo.untilMatch(/auth\.refused.*\n/)
    child.kill('SIGTERM')
    await fifo.untilMatch(/drain\.ended.*\n/)
    expect(await child.exited).toBe(0)
    fifo.close()
  }, 30_000)
})

test('a failed start ends the process even if stdout is not read', async () => {
  const fifo = createFifo(folder)
  fifo.fill()
  for (const stderr of [openSync('/dev/full', 'w'), fifo.writeEnd]) {
    const env = environment({ SERVER_PORT: 'http' })
    const child = Bun.spawn([process.execPath, 'src/main.ts'], { cwd: ROOT, env, stdout: 'ignore', stderr })
    expect(await child.exited).toBe(1)
  }
  fifo.close()
}, 20_000)
