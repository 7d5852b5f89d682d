import { expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startTestApp, type TestApp } from '../support/app.ts'
import { upTo } from '../support/ara.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { createInbox } from '../support/inbox.ts'
import { eventually, send } from '../support/visit.ts'

const TEST_MS = 60_000
const LOG = { QUEUE_ENABLED: 'true', QUEUE_MAX_SIZE_PER_USER: '1000' }
const CLIENT = join(import.meta.dir, '../../client/src/index.ts')

/** Prints what comes, and then saves its place in a file. */
const PROGRAM = `
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
const [client, url, token, folder] = process.argv.slice(-4)
const { createClient } = await import(client)
const file = folder + '/cursor'
const ara = createClient({
  url,
  token: () => token,
  cursor: { load: () => existsSync(file) && readFileSync(file, 'utf8'), save: cursor => writeFileSync(file, cursor) },
})
ara.onGap(({ reason }) => console.log(JSON.stringify(reason)))
ara.on('e', async ({ payload }) => {
  appendFileSync(1, payload + '\\n')
  await new Promise(setImmediate)
})`

interface Program extends AsyncDisposable {
  readonly child: Bun.Subprocess<'ignore', 'pipe', 'inherit'>
  /** Resolves when the payload has been printed. */
  printed(payload: number): Promise<unknown>
  /** Resolves when the process has ended and its output is read. */
  readonly ended: Promise<unknown>
  /** Payloads and gaps so far. */
  readonly got: readonly unknown[]
}

/** Starts a program that follows as ann with its own file for the cursor. */
async function startProgram(service: TestApp, folder: string): Promise<Program> {
  const program = join(folder, 'program.mjs')
  await Bun.write(program, PROGRAM)
  const child = Bun.spawn(
    [process.execPath, program, CLIENT, service.url, await service.token('ann'), folder],
    {
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'inherit',
      timeout: TEST_MS,
    },
  )
  const inbox = createInbox<unknown>()
  const read = async () => {
    let text = ''
    const decoder = new TextDecoder()
    for await (const chunk of child.stdout) {
      const lines = (text + decoder.decode(chunk, { stream: true })).split('\n')
      text = lines.pop() ?? ''
      for (const line of lines) inbox.push(JSON.parse(line))
    }
  }
  const ended = awaitedLater(Promise.all([child.exited, read()]))
  return {
    child,
    printed: payload => inbox.until(item => item === payload),
    got: inbox.all,
    ended,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL')
      await ended
    },
  }
}

const newFolder = async () => {
  const folder = await mkdtemp(join(tmpdir(), 'client-process-'))
  return { folder, [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) }
}

test(
  'a process that sleeps until the service has given it up catches up when it wakes',
  async () => {
    await using service = await startTestApp({
      ...LOG,
      WEBSOCKET_HEARTBEAT_INTERVAL: '1',
      WEBSOCKET_CONNECTION_TIMEOUT: '2',
      WEBSOCKET_CLEANUP_INTERVAL: '1',
    })
    await using home = await newFolder()
    await using ann = await startProgram(service, home.folder)
    await send(service, 'ann', 1)
    await ann.printed(1)
    ann.child.kill('SIGSTOP')
    const isGone = async () => (await service.get('/api/v1/users/ann/presence')).json.connections === 0
    await eventually(isGone, 20_000)
    for (const payload of [2, 3]) await send(service, 'ann', payload)
    ann.child.kill('SIGCONT')
    await send(service, 'ann', 4)
    await ann.printed(4)
    expect(ann.got).toEqual(upTo(4))
  },
  TEST_MS,
)

test(
  'a process that is killed in the middle of a replay continues at its saved place',
  async () => {
    await using service = await startTestApp(LOG)
    await using home = await newFolder()
    const last = 500
    for (const payload of upTo(last)) await send(service, 'ann', payload)
    const seen: unknown[] = []
    while (seen.at(-1) !== last) {
      await using ann = await startProgram(service, home.folder)
      await ann.printed(Math.min(Number(seen.at(-1) ?? 0) + 100, last))
      ann.child.kill('SIGKILL')
      await ann.ended
      // One may come again: it was handled, but its place was not saved.
      const isAgain = seen.length > 0 && ann.got[0] === seen.at(-1)
      seen.push(...ann.got.slice(isAgain ? 1 : 0))
    }
    expect(seen).toEqual(upTo(last))
  },
  TEST_MS,
)
