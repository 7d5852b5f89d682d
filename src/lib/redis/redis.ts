import type { Redis } from 'ioredis'
import { createClient } from './client.ts'
import type { LinkConnection } from './reconnecting-link.ts'
import { findMaster } from './sentinel.ts'
import type { Host, RedisAddress } from './url.ts'

interface RedisOptions {
  readonly address: RedisAddress
  /** Name of the setting with the address, for errors. */
  readonly setting: string
  /** Prepares the new connection; must call `onAnswer` for everything that arrives on it. */
  readonly prepare: (client: Redis, onAnswer: () => void) => Promise<unknown>
  /**
   * Checks the connection each second; PING by default. Resolves when Redis has answered, with a reason if the
   * connection is no longer usable.
   */
  readonly ask?: (client: Redis) => Promise<Error | undefined>
  readonly alive: () => void
  readonly signal: AbortSignal
}

/** Counts beats instead of time: a stopped process has no beats, so it does not blame Redis. */
const BEAT_MS = 500
const BEATS_PER_PING = 2
const BEATS_OF_SILENCE = 5
const BEATS_PER_LOOK = 6

async function ping(client: Redis): Promise<undefined> {
  await client.ping()
}

const isSame = (one: Host, other: Host): boolean => one.host === other.host && one.port === other.port

/** Checks the role: after a failover the Sentinels may still name the old master. */
async function checkRole(client: Redis): Promise<void> {
  const [role] = await client.role()
  if (String(role) !== 'master') throw new Error(`expected a master, the server is a ${role}`)
}

/** Selects the database; a wrong one would hold the data of another environment. */
async function selectDatabase(client: Redis, db: number, setting: string): Promise<void> {
  try {
    if (db > 0) await client.select(db)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new Error(`${setting}: Redis does not open database ${db} (${reason})`)
  }
}

/**
 * Connects to Redis, with one attempt. Resolves when Redis has answered a PING and the connection is prepared. The
 * connection ends in three cases: Redis closes it, Redis sends nothing for 2.5 s despite a command, or the Sentinels name
 * another master.
 */
export async function openRedis({
  address,
  setting,
  prepare,
  ask: question = ping,
  alive,
  signal,
}: RedisOptions): Promise<LinkConnection> {
  const place = address.master === undefined ? address.hosts[0] : await findMaster(address)
  const client = createClient(place, address)
  const ended = Promise.withResolvers<Error>()
  let cause: Error | undefined
  let silence = 0
  let beats = 0
  let isReady = false
  let asked = false

  const end = (reason: Error): void => {
    clearInterval(beating)
    signal.removeEventListener('abort', endAtOnce)
    // Ignore its remaining events: the next connection may already be open.
    client.removeAllListeners()
    client.on('error', () => {})
    client.disconnect()
    ended.resolve(reason)
  }
  const endAtOnce = (): void => end(new Error('stopped'))

  const onAnswer = (): void => {
    silence = 0
    alive()
  }

  const ask = (): void => {
    asked = true
    question(client).then(
      useless => {
        asked = false
        if (useless === undefined) onAnswer()
        else end(useless)
      },
      // A refusal (READONLY, NOAUTH) or a cut connection shows as silence.
      () => {},
    )
  }

  const look = (): void => {
    findMaster(address).then(
      master => {
        if (!isSame(master, place)) end(new Error('another master'))
      },
      () => {},
    )
  }

  const beat = (): void => {
    beats++
    silence++
    if (silence >= BEATS_OF_SILENCE) {
      end(new Error('no answer'))
      return
    }
    if (!isReady) return
    if (!asked && beats % BEATS_PER_PING === 0) ask()
    if (address.master !== undefined && beats % BEATS_PER_LOOK === 0) look()
  }
  const beating = setInterval(beat, BEAT_MS)

  const hear = (): void => {
    silence = 0
  }

  const start = async (): Promise<void> => {
    await client.connect()
    // Each command of the preparation has 2.5 s of its own, for slow networks.
    client.stream.on('data', hear)
    await selectDatabase(client, address.db, setting)
    if (address.master !== undefined) await checkRole(client)
    await client.ping()
    await prepare(client, onAnswer)
    client.stream.off('data', hear)
    isReady = true
  }

  client.on('error', error => {
    cause = error
  })
  client.once('end', () => end(cause ?? new Error('closed by Redis')))
  signal.addEventListener('abort', endAtOnce)
  if (signal.aborted) endAtOnce()
  const failed = ended.promise.then(reason => {
    throw reason
  })
  try {
    await Promise.race([failed, start()])
  } catch (error) {
    end(error instanceof Error ? error : new Error('failed'))
    // Prefer the cause: ioredis itself says only that the connection is closed.
    throw cause ?? error
  }
  return { ended: ended.promise, end: endAtOnce }
}
