import { Database } from 'bun:sqlite'
import { describe, expect, test } from 'bun:test'
import { userTopic } from '../../src/notification/topic.ts'
import type { Draft, Log } from '../../src/store/store.ts'
import { startTestApp } from '../support/app.ts'
import { startService } from '../support/service.ts'
import { openPlace, storePlace } from '../support/store-file.ts'
import { eventually } from '../support/visit.ts'

const ANN = userTopic('acme', 'ann')

const draft = (id: string): Draft => ({
  owner: ANN,
  id,
  body: '{',
  eventType: 'e',
  occurredAt: 1,
  priority: 'Normal',
})

const ids = async (log: Log): Promise<number[]> =>
  (await log.read(ANN, 0, { entries: 1_000, bytes: 1_000_000 })).entries.map(({ seq }) => seq)

/** Why it was rejected. (`expect` with `rejects` waits in a way in which no message of a worker arrives.) */
const reasonOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'it was not',
    (error: Error) => error.message,
  )

/** The thread that writes, out of reach while it is held up: what it is sent waits, or what it answers. */
function holdWriter(held: 'messages' | 'answers') {
  const real = globalThis.Worker
  let gate = Promise.resolve()
  let open = (): void => {}
  const workers: Worker[] = []

  class HeldWorker extends real {
    constructor(url: string | URL) {
      super(url)
      workers.push(this)
    }

    override postMessage(message: unknown): void {
      if (held === 'messages') void gate.then(() => super.postMessage(message))
      else super.postMessage(message)
    }

    override set onmessage(take: (event: MessageEvent) => void) {
      super.onmessage = event => {
        if (held === 'answers') void gate.then(() => take(event))
        else take(event)
      }
    }
  }
  globalThis.Worker = HeldWorker

  return {
    hold: () => {
      const { promise, resolve } = Promise.withResolvers<void>()
      gate = promise
      open = resolve
    },
    release: () => open(),
    end: () => workers.at(-1)?.terminate(),
    [Symbol.dispose]: () => {
      globalThis.Worker = real
    },
  }
}

describe('a writer that does not answer', () => {
  test('keeps callers waiting for a second at most; what it had not begun is never written', async () => {
    using writer = holdWriter('messages')
    await using place = await storePlace()
    await using opened = await openPlace(place, { limits: { maxEntries: 100 } })
    const { log } = opened.store
    await log.append([draft('before')])
    writer.hold()
    const startedAt = performance.now()
    expect(await reasonOf(log.append([draft('late')]))).toContain('too long')
    expect(performance.now() - startedAt).toBeLessThan(2_000)
    expect(opened.store.isUp()).toBe(false)
    expect(await reasonOf(log.append([draft('refused at once')]))).toContain('away')
    writer.release()
    await eventually(opened.store.isUp)
    expect(await ids(log)).toEqual([1])
    expect(opened.notes).toEqual([['resumed']])
    expect((await log.append([draft('late')]))[0]?.repeated).toBe(false)
  })

  test('and has written it all the same: whoever compares logs with clients is told', async () => {
    using writer = holdWriter('answers')
    await using place = await storePlace()
    await using opened = await openPlace(place, { limits: { maxEntries: 100 } })
    const { log } = opened.store
    await log.append([draft('before')])
    writer.hold()
    expect(await reasonOf(log.append([draft('unknown')]))).toContain('too long')
    expect(opened.notes).toEqual([])
    writer.release()
    await eventually(opened.store.isUp)
    expect(opened.notes).toEqual([['resumed']])
    expect(await ids(log)).toEqual([1, 2])
    expect(await log.append([draft('unknown')])).toMatchObject([{ cursor: { seq: 2 }, repeated: true }])
  })
})

describe('a writer that ends', () => {
  test('is replaced; what it was doing is rejected, and nothing that was answered is lost', async () => {
    using writer = holdWriter('messages')
    await using place = await storePlace()
    await using opened = await openPlace(place, { limits: { maxEntries: 100 } })
    const { log } = opened.store
    await log.append([draft('before')])
    writer.hold()
    const during = log.append([draft('during')])
    await new Promise(setImmediate)
    writer.end()
    expect(await reasonOf(during)).toContain('ended')
    writer.release()
    await eventually(opened.store.isUp)
    expect((await log.append([draft('after')]))[0]?.cursor.seq).toBe(2)
    expect(opened.notes).toEqual([['resumed']])
  })
})

test('a file that somebody else has locked: 503 as long as it is, then again as before', async () => {
  await using place = await storePlace()
  await using opened = await openPlace(place, { limits: { maxEntries: 100, acknowledged: true } })
  const { log, acks } = opened.store
  const [appended] = await log.append([draft('before')])
  using other = new Database(place.path)
  other.run('BEGIN IMMEDIATE')
  log.handed(ANN, appended?.cursor.epoch ?? '', [1])
  expect(await reasonOf(log.append([draft('meanwhile')]))).toContain('locked')
  expect(opened.store.isUp()).toBe(false)
  expect(await ids(log)).toEqual([1])
  other.run('COMMIT')
  await eventually(opened.store.isUp)
  expect((await log.append([draft('meanwhile')]))[0]).toMatchObject({ cursor: { seq: 2 }, repeated: false })
  // What nobody waits for was not lost with the commit it would have gone with.
  expect((await log.trace('acme', 'before', { limit: 1 }))?.recipients[0]).toMatchObject({ attempts: 1 })
  expect(await acks.ack(ANN, ['before'])).toMatchObject([{ late: false }])
})

/** Files that may not grow need no privileges to make; the signal that comes with it is ignored, so that writes fail. */
const LIMITABLE = {
  command: ['bash', '-c', 'trap "" XFSZ; exec "$@"', 'bash', process.execPath, 'src/main.ts'],
  cwd: `${import.meta.dir}/../..`,
}

test('a note that cannot be written does not keep the store away for ever', async () => {
  await using place = await storePlace()
  await using opened = await openPlace(place)
  const { log, idempotency } = opened.store
  const claim = { tenant: 'acme', key: 'k', fingerprint: 'f', id: 'i' }
  await idempotency.reserve(claim)
  {
    using other = new Database(place.path)
    other.run("CREATE TRIGGER never BEFORE UPDATE OF answer ON keys BEGIN SELECT raise(ABORT, 'never'); END")
  }
  idempotency.answer(claim, 'a')
  await eventually(() => !opened.store.isUp())
  const append = () => log.append([draft('a')]).catch(() => [])
  await eventually(async () => opened.store.isUp() && (await append()).length === 1)
  expect(await ids(log)).toEqual([1])
}, 20_000)

test('a store that does not close keeps no drain', async () => {
  const closes = Promise.withResolvers<void>()
  const app = await startTestApp(
    { DRAIN_SECONDS: '0' },
    { wrapStore: store => ({ ...store, [Symbol.asyncDispose]: () => closes.promise }) },
  )
  const startedAt = performance.now()
  await app.app.drain()
  expect(performance.now() - startedAt).toBeLessThan(1_000)
  closes.resolve()
})

const limitFiles = async (pid: number, bytes: number | 'unlimited'): Promise<void> => {
  await Bun.$`prlimit --pid ${pid} --fsize=${bytes}:unlimited`.quiet()
}

test('no room on the disk: 503 and said so within seconds, nothing lost, and by itself well again', async () => {
  await using place = await storePlace()
  const env = { STORE_URL: place.url, QUEUE_ENABLED: 'true', QUEUE_MAX_SIZE_PER_USER: '100000' }
  await using service = await startService(env, LIMITABLE)
  const health = async () => (await (await fetch(`${service.url}/health`)).json()) as Record<string, unknown>
  const ready = async () => (await fetch(`${service.url}/health/ready`)).status
  const isWell = async () => (await ready()) === 200

  await limitFiles(service.pid, 1_000_000)
  const text = 'x'.repeat(20_000)
  let answered = 0
  let refused: Response | undefined
  while (refused === undefined) {
    const answer = await service.send('u', text)
    if (answer.status === 200) answered++
    else refused = answer
  }
  expect(refused.status).toBe(503)
  expect(refused.headers.get('retry-after')).toBe('1')
  expect(await refused.json()).toMatchObject({ error: { code: 'STORE_UNAVAILABLE' } })
  expect([await ready(), await health()]).toMatchObject([
    503,
    { status: 'degraded', store: { kind: 'sqlite', status: 'unavailable' } },
  ])
  expect(await service.line('store.lost')).toMatchObject({ level: 'warn' })
  expect((await service.send('u', text)).status).toBe(503)

  await limitFiles(service.pid, 'unlimited')
  await eventually(isWell)
  await service.line('store.recovered')
  expect((await service.send('u', text)).status).toBe(200)
  expect(await health()).toMatchObject({ status: 'healthy', queue: { total_messages: answered + 1 } })
}, 30_000)

test('no room on the disk is noticed though nobody sends anything', async () => {
  await using place = await storePlace()
  const bash = ['bash', '-c', 'trap "" XFSZ; exec "$@"', 'bash', process.execPath, 'src/main.ts']
  await using service = await startService(
    { STORE_URL: place.url },
    {
      command: bash,
      cwd: `${import.meta.dir}/../..`,
    },
  )
  await limitFiles(service.pid, 1)
  const startedAt = performance.now()
  await eventually(async () => (await fetch(`${service.url}/health/ready`)).status === 503)
  expect(performance.now() - startedAt).toBeLessThan(3_000)
})
