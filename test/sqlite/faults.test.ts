import { Database } from 'bun:sqlite'
import { describe, expect, test } from 'bun:test'
import { StoreAway } from '../../src/errors.ts'
import { userTopic } from '../../src/notification/topic.ts'
import type { Draft, UserLog } from '../../src/store/store.ts'
import { noting } from '../contract/store.contract.ts'
import { API_KEY, startTestApp } from '../support/app.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { startService } from '../support/service.ts'
import { startStopwatch } from '../support/stopwatch.ts'
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

const ids = async (log: UserLog): Promise<number[]> =>
  (await log.read(ANN, 0, { entries: 1_000, bytes: 1_000_000 })).entries.map(({ seq }) => seq)

/** The reason of a rejection. (`expect` with `rejects` blocks messages of a worker.) */
const reasonOf = (answer: unknown): Promise<string> =>
  Promise.resolve(answer).then(
    () => 'it was not',
    (error: Error) => error.message,
  )

/** Holds up the thread that writes: its incoming messages wait, or its answers. */
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
  test('keeps callers waiting for at most a second, and never writes the calls it had not begun', async () => {
    using writer = holdWriter('messages')
    await using place = await storePlace()
    await using opened = await openPlace(place, { limits: { maxEntries: 100 } })
    const { log } = opened.store
    await log.append([draft('before')])
    writer.hold()
    const elapsed = startStopwatch()
    expect(await reasonOf(log.append([draft('late')]))).toContain('too long')
    expect(elapsed()).toBeLessThan(2_000)
    expect(opened.store.isUp()).toBe(false)
    expect(await reasonOf(log.append([draft('refused at once')]))).toContain('away')
    writer.release()
    await eventually(opened.store.isUp)
    expect(await ids(log)).toEqual([1])
    expect(opened.notes).toEqual([['resumed']])
    expect((await log.append([draft('late')]))[0]?.repeated).toBe(false)
  })

  test('but has written the calls makes the observer report it', async () => {
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

test('a template change that is committed after its caller timed out is visible at once', async () => {
  using writer = holdWriter('answers')
  await using place = await storePlace()
  await using opened = await openPlace(place)
  const { templates } = opened.store
  const template = {
    id: 't',
    name: 'n',
    eventType: 'e',
    payloadTemplate: '"old"',
    defaultPriority: 'Normal',
    strict: false,
    createdAt: 1,
    updatedAt: 1,
  } as const
  const text = async () => (await templates.get('acme', 't'))?.payloadTemplate
  await templates.create('acme', template, 10)
  const before = await templates.get('acme', 't')
  expect(await templates.get('acme', 't')).toBe(before as object as typeof template)
  // Another process locks the file, so that the commit happens after the caller has left.
  const other = new Database(place.path)
  other.run('BEGIN IMMEDIATE')
  const changed = templates.update('acme', 't', { payloadTemplate: '"new"', updatedAt: 2 })
  const reason = awaitedLater(reasonOf(changed))
  expect(await text()).toBe('"old"')
  writer.hold()
  other.run('COMMIT')
  other.close()
  await eventually(async () => (await text()) === '"new"')
  writer.release()
  expect(await reason).toBeString()
  const after = await templates.get('acme', 't')
  expect(after?.payloadTemplate).toBe('"new"')
  expect(await templates.get('acme', 't')).toBe(after as object as typeof template)
})

describe('a writer that ends', () => {
  test('is replaced, its calls are rejected, and no confirmed append is lost', async () => {
    using writer = holdWriter('messages')
    await using place = await storePlace()
    await using opened = await openPlace(place, { limits: { maxEntries: 100 } })
    const { log } = opened.store
    await log.append([draft('before')])
    writer.hold()
    const reason = awaitedLater(reasonOf(log.append([draft('during')])))
    await new Promise(setImmediate)
    writer.end()
    expect(await reason).toContain('ended')
    writer.release()
    await eventually(opened.store.isUp)
    expect((await log.append([draft('after')]))[0]?.cursor.seq).toBe(2)
    expect(opened.notes).toEqual([['resumed']])
  })
})

test('sends get 503 while another process locks the file, and succeed afterwards', async () => {
  await using place = await storePlace()
  await using opened = await openPlace(place, { limits: { maxEntries: 100, acknowledged: true } })
  const { log, acks } = opened.store
  const [appended] = await log.append([draft('before')])
  using other = new Database(place.path)
  other.run('BEGIN IMMEDIATE')
  log.handed(ANN, appended?.cursor.epoch ?? '', [1])
  // On a busy machine the caller's deadline may pass first.
  expect(await reasonOf(log.append([draft('meanwhile')]))).toMatch(/locked|too long/)
  expect(opened.store.isUp()).toBe(false)
  expect(await ids(log)).toEqual([1])
  other.run('COMMIT')
  await eventually(opened.store.isUp)
  expect((await log.append([draft('meanwhile')]))[0]).toMatchObject({ cursor: { seq: 2 }, repeated: false })
  // Notes are not lost with a failed commit.
  expect((await log.report('acme', 'before', { limit: 1 }))?.recipients[0]).toMatchObject({ attempts: 1 })
  expect(await acks.ack(ANN, ['before'])).toMatchObject([{ late: false }])
})

/** Limits file sizes, which needs no privileges. The signal for it is ignored, so that writes fail. */
const LIMITABLE = {
  command: ['bash', '-c', 'trap "" XFSZ; exec "$@"', 'bash', process.execPath, 'src/main.ts'],
  cwd: `${import.meta.dir}/../..`,
}

const claim = { tenant: 'acme', key: 'k', fingerprint: 'f', id: 'i' }

test('a step with a fault of our own code rejects with that fault, and the store stays up for other calls', async () => {
  await using place = await storePlace()
  await using opened = await openPlace(place)
  const { log, idempotency } = opened.store
  {
    using other = new Database(place.path)
    other.run("CREATE TRIGGER never BEFORE INSERT ON keys BEGIN SELECT raise(ABORT, 'never'); END")
  }
  const [key, appended] = await Promise.allSettled([idempotency.reserve(claim), log.append([draft('a')])])
  expect(key).toMatchObject({ status: 'rejected', reason: { message: 'never' } })
  expect(key.status === 'rejected' && key.reason instanceof StoreAway).toBe(false)
  expect([appended.status, opened.store.isUp()]).toEqual(['fulfilled', true])
  // A value that cannot be sent to the thread.
  const odd = { ...draft('b'), eventType: Symbol('odd') as unknown as string }
  expect(await reasonOf(log.append([odd]))).not.toBe('it was not')
  expect([opened.store.isUp(), (await log.append([draft('c')]))[0]?.cursor.seq]).toEqual([true, 2])
})

test('a file that cannot be written or read rejects with StoreAway', async () => {
  await using place = await storePlace()
  await using opened = await openPlace(place)
  const { log } = opened.store
  await log.append([draft('a')])
  using other = new Database(place.path)
  other.run('BEGIN IMMEDIATE')
  expect(await Promise.resolve(log.append([draft('b')])).catch(error => error)).toBeInstanceOf(StoreAway)
  other.run('ROLLBACK')
})

test('a note with a fault of our own code is counted and logged once, and sends continue', async () => {
  await using place = await storePlace()
  await using service = await startService({ STORE_URL: place.url, QUEUE_ENABLED: 'true' })
  {
    using other = new Database(place.path)
    other.run("CREATE TRIGGER never BEFORE UPDATE OF answer ON keys BEGIN SELECT raise(ABORT, 'never'); END")
  }
  const send = () =>
    fetch(`${service.url}/api/v1/notifications/send`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-api-key': API_KEY, 'idempotency-key': 'k' },
      body: JSON.stringify({ target_user_id: 'u', event_type: 'e', payload: 1 }),
    })
  expect((await send()).status).toBe(200)
  expect(await service.line('fault.unhandled')).toMatchObject({ level: 'error', total: 1 })
  expect((await service.send('u', 1)).status).toBe(200)
  expect(service.lines.filter(({ event }) => event === 'store.lost')).toEqual([])
})

test('an observer that throws keeps no caller waiting', async () => {
  await using place = await storePlace()
  const faults: unknown[] = []
  const left = () => {
    throw new Error('an observer')
  }
  await using opened = await openPlace(place, {
    limits: { maxEntries: 1 },
    observer: { ...noting(), left },
    onFault: error => void faults.push(error),
  })
  const { log } = opened.store
  await log.append([draft('a')])
  expect(await log.append([draft('b')])).toMatchObject([{ cursor: { seq: 2 } }])
  expect((await log.append([draft('c')]))[0]?.cursor.seq).toBe(3)
  expect(faults).toEqual([new Error('an observer'), new Error('an observer')])
})

test('a store that does not close does not delay a drain', async () => {
  const closes = Promise.withResolvers<void>()
  const app = await startTestApp(
    { DRAIN_SECONDS: '0' },
    { wrapStore: store => ({ ...store, [Symbol.asyncDispose]: () => closes.promise }) },
  )
  const elapsed = startStopwatch()
  await app.app.drain()
  expect(elapsed()).toBeLessThan(1_000)
  closes.resolve()
})

const limitFiles = async (pid: number, bytes: number | 'unlimited'): Promise<void> => {
  await Bun.$`prlimit --pid ${pid} --fsize=${bytes}:unlimited`.quiet()
}

test('a full disk gives 503 and a log line within seconds, loses nothing, and the store recovers by itself', async () => {
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

test('a full disk is noticed without any send', async () => {
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
  const elapsed = startStopwatch(service.pid)
  await eventually(async () => (await fetch(`${service.url}/health/ready`)).status === 503)
  expect(elapsed()).toBeLessThan(3_000)
})
