import { expect, test } from 'bun:test'
import { chmod, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { awaitedLater } from '../support/awaited-later.ts'
import { connectSocket } from '../support/client.ts'
import { type Service, spawnService, startService } from '../support/service.ts'
import { storePlace } from '../support/store-file.ts'

const TEST_MS = 30_000
const LOG = { QUEUE_ENABLED: 'true', DRAIN_SECONDS: '0' }

/** Runs the program with a command, as a container or a shell does. */
async function run(command: readonly string[], url: string, stdin: Blob | 'ignore' = 'ignore') {
  const program = {
    command: [process.execPath, 'src/main.ts', ...command],
    cwd: join(import.meta.dir, '../..'),
  }
  const child = spawnService({ STORE_URL: url }, program, stdin)
  const [stdout, stderr] = await Promise.all([new Response(child.stdout).bytes(), child.stderr.text()])
  return { code: await child.exited, stdout, stderr }
}

/** The payloads of the user's log, and whether a client with that cursor misses nothing. */
async function logOf(service: Service, cursor = '') {
  const socket = await connectSocket(`${service.url}/ws?token=${await service.token('u')}&cursor=${cursor}`)
  const { recovered, reason, replayed } = await socket.nextOf('connected')
  const payloads = (await socket.take(replayed)).map(({ payload }) => payload)
  socket.close()
  return { recovered, reason, payloads }
}

async function stop(service: Service): Promise<void> {
  service.signal('SIGTERM')
  await service.ended
}

test(
  'a backup made during sends is restored with all earlier sends, and clients get a new epoch',
  async () => {
    await using place = await storePlace()
    const env = { ...LOG, STORE_URL: place.url }
    const copy = join(place.directory, 'copy.db')
    await using service = await startService(env)
    await service.send('u', 1)
    const sending = awaitedLater(Promise.all([2, 3, 4].map(n => service.send('u', n))))
    expect(await run(['backup', copy], place.url)).toMatchObject({ code: 0, stderr: '' })
    await sending
    await service.send('u', 5)
    expect((await stat(copy)).mode & 0o777).toBe(0o600)
    const running = await run(['restore', copy], place.url)
    expect([running.code, running.stderr]).toEqual([
      1,
      'STORE_URL: expected a file that no other process has open\n',
    ])
    await stop(service)

    await chmod(copy, 0o644)
    expect(await run(['restore', copy], place.url)).toMatchObject({ code: 0, stderr: '' })
    expect((await stat(place.path)).mode & 0o777).toBe(0o600)
    await using restored = await startService(env)
    const { recovered, reason, payloads } = await logOf(restored, 'old:5')
    expect([recovered, reason]).toEqual([false, 'epoch_changed'])
    expect(payloads[0]).toBe(1)
    expect(payloads).not.toContain(5)
  },
  TEST_MS,
)

test(
  'a backup to stdout is restored from stdin and leaves no file beside the store',
  async () => {
    await using place = await storePlace()
    const env = { ...LOG, STORE_URL: place.url }
    await using service = await startService(env)
    await service.send('u', 1)
    const { code, stdout } = await run(['backup', '-'], place.url)
    expect(code).toBe(0)
    await service.send('u', 2)
    service.signal('SIGKILL')
    await service.ended
    expect(await run(['restore', '-'], place.url, new Blob([stdout]))).toMatchObject({ code: 0, stderr: '' })
    expect((await readdir(place.directory)).filter(name => !name.includes('.lock'))).toEqual(['ara.db'])
    await using restored = await startService(env)
    expect((await logOf(restored)).payloads).toEqual([1])
  },
  TEST_MS,
)

test(
  'a backup never overwrites, and a restore takes only a whole file of this service',
  async () => {
    await using place = await storePlace()
    const [copy, text] = [join(place.directory, 'copy.db'), join(place.directory, 'text')]
    await Bun.write(text, 'not a store')
    expect((await run(['backup', copy], place.url)).stderr).toBe(
      `STORE_URL: expected a file that exists (${place.path})\n`,
    )
    await using service = await startService({ ...LOG, STORE_URL: place.url })
    await service.send('u', 1)
    expect((await run(['backup', text], place.url)).stderr).toBe(
      `backup: expected a path where nothing is yet (${text})\n`,
    )
    expect((await run(['backup', copy], 'memory:')).stderr).toBe(
      'STORE_URL: expected sqlite:<path>, for a backup\n',
    )
    await stop(service)
    expect((await run(['restore', copy], place.url)).stderr).toBe(
      `restore: expected a file that exists (${copy})\n`,
    )
    expect((await run(['restore', text], place.url)).stderr).toBe('restore: expected a SQLite file\n')
    await using unharmed = await startService({ ...LOG, STORE_URL: place.url })
    expect((await logOf(unharmed)).payloads).toEqual([1])
  },
  TEST_MS,
)
