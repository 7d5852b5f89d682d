import type { Redis } from 'ioredis'
import { CONNECT_MS, createClient } from './client.ts'
import type { LinkConnection } from './reconnecting-link.ts'
import { findMaster } from './sentinel.ts'
import type { Host, RedisAddress } from './url.ts'

interface RedisOptions {
  readonly address: RedisAddress
  /** Name of the variable that holds the address, for errors. */
  readonly setting: string
  /** Makes the fresh connection ready for its work; `heard` is to be called for whatever arrives on it. */
  readonly prepare: (client: Redis, heard: () => void) => Promise<unknown>
  /**
   * What it is asked each second; a PING unless something else is. Resolves when Redis has answered, with a reason when the
   * connection is of no use any more.
   */
  readonly ask?: (client: Redis) => Promise<Error | undefined>
  readonly alive: () => void
  readonly signal: AbortSignal
}

/** From the connection to its last preparation, milliseconds. */
const READY_MS = CONNECT_MS
/** Beats, not time: while this process itself stands still none passes, so its own silence is not taken for Redis'. */
const BEAT_MS = 500
const BEATS_PER_PING = 2
const BEATS_OF_SILENCE = 5
const BEATS_PER_LOOK = 6

async function ping(client: Redis): Promise<undefined> {
  await client.ping()
}

const isSame = (one: Host, other: Host): boolean => one.host === other.host && one.port === other.port

/** Of Sentinels' masters only: right after a failover the former one may still be named. */
async function checkRole(client: Redis): Promise<void> {
  const [role] = await client.role()
  if (String(role) !== 'master') throw new Error(`the server is no master but a ${role}`)
}

/** Selects the database. Another one would hold the data of another environment. */
async function selectDatabase(client: Redis, db: number, setting: string): Promise<void> {
  try {
    if (db > 0) await client.select(db)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new Error(`${setting}: Redis does not open database ${db} (${reason})`)
  }
}

/**
 * One connection to Redis, tried once. Resolves when it has answered a PING and is prepared, rejects with the reason after
 * at most `READY_MS` (and the second that Sentinels may take). It ends when Redis closes it, when nothing at all was heard
 * of it for 2.5 s, in which it was asked, and when the Sentinels name another master.
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
  let beating: Timer | undefined
  let silence = 0
  let beats = 0
  let asked = false

  const end = (reason: Error): void => {
    clearTimeout(limit)
    clearInterval(beating)
    signal.removeEventListener('abort', endAtOnce)
    // What it still holds must not be handled: the next connection may be there before it is gone.
    client.removeAllListeners()
    client.on('error', () => {})
    client.disconnect()
    ended.resolve(reason)
  }
  const endAtOnce = (): void => end(new Error('stopped'))
  const limit = setTimeout(() => end(new Error('no answer')), READY_MS)

  const heard = (): void => {
    silence = 0
    alive()
  }

  const ask = (): void => {
    asked = true
    question(client).then(
      useless => {
        asked = false
        if (useless === undefined) heard()
        else end(useless)
      },
      // Refused (READONLY, NOAUTH) or cut off: the silence tells.
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
    if (silence >= BEATS_OF_SILENCE) end(new Error('no answer'))
    else if (!asked && beats % BEATS_PER_PING === 0) ask()
    if (address.master !== undefined && beats % BEATS_PER_LOOK === 0) look()
  }

  const start = async (): Promise<void> => {
    await client.connect()
    await selectDatabase(client, address.db, setting)
    if (address.master !== undefined) await checkRole(client)
    await client.ping()
    await prepare(client, heard)
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
    // The client's own reason is only that it is closed.
    throw cause ?? error
  }
  clearTimeout(limit)
  beating = setInterval(beat, BEAT_MS)
  return { ended: ended.promise, end: endAtOnce }
}
