import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { API_KEY, SECRET } from '../support/app.ts'
import { startFakeCentrifugo } from '../support/fake-centrifugo.ts'
import { startService } from '../support/service.ts'

const BENCH = join(import.meta.dir, 'bench.ts')
const LIMIT_MS = 60_000

/** Runs the bench against a server for a second a row. Its table is the list of its lines, as lists of cells. */
async function benchAgainst(...args: readonly string[]) {
  const command = [process.execPath, BENCH, ...args, '--quick', '--key', API_KEY, '--secret', SECRET]
  const child = Bun.spawn(command, { stdin: 'ignore', stdout: 'pipe', stderr: 'pipe', timeout: LIMIT_MS })
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  const table = out
    .split('\n')
    .flatMap(line => (line.startsWith('| ') ? [line.slice(2, -2).split(' | ')] : []))
  return { table: table.slice(1), out, err, code }
}

const named = (table: readonly (readonly string[])[]) => table.map(([row, , figure]) => `${row}: ${figure}`)

test(
  'the bench loads another server of this service, which loses nothing',
  async () => {
    await using service = await startService()
    const { table, code, err } = await benchAgainst('send', 'saturated', '--against', service.url)
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(named(table)).toEqual(['saturated: deliveries/s', 'send: requests/s', 'send: loader busy'])
  },
  LIMIT_MS,
)

test.each(['any', 'bun'])(
  'the bench loads a server with the wire of Centrifugo, with the loader %p',
  async loader => {
    using server = startFakeCentrifugo({ key: API_KEY, secret: SECRET })
    const { table, code, err } = await benchAgainst(
      ...['send', 'saturated', '--loader', loader],
      ...['--against', server.url, '--kind', 'centrifugo', '--pid', String(server.pid)],
    )
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(named(table)).toEqual([
      'saturated: deliveries/s',
      'saturated: deliveries per CPU-second',
      'send: requests/s',
      'send: requests per CPU-second',
      'send: loader busy',
    ])
    expect([...server.channels]).toEqual(expect.arrayContaining(['bench', 'user-0', 'user-999']))
    expect(server.pongs).toBeGreaterThan(0)
  },
  LIMIT_MS,
)

test(
  'the bench fails when the other server loses a notification',
  async () => {
    using server = startFakeCentrifugo({ key: API_KEY, secret: SECRET, loses: 'user-7' })
    const { table, code } = await benchAgainst('send', '--against', server.url, '--kind', 'centrifugo')
    expect(code).toBe(1)
    expect(table).toEqual([['send', 'log off', '**FAILED**', '–', expect.stringMatching(/^\d+ lost$/)]])
  },
  LIMIT_MS,
)

test('the bench refuses another server without key and secret, or of an unknown kind', async () => {
  const child = Bun.spawn([process.execPath, BENCH, '--against', 'http://127.0.0.1:1', '--kind', 'other'], {
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'pipe',
  })
  const [err, code] = await Promise.all([child.stderr.text(), child.exited])
  expect({ code, isUsage: err.startsWith('usage: bun run bench') }).toEqual({ code: 1, isUsage: true })
})
