import type { RedisAddress } from '../../lib/redis/url.ts'
import type { Clock } from '../../lib/time/clock.ts'
import type { Topic } from '../../notification/topic.ts'
import type { PushSource } from '../push.ts'
import type { Store, StoreLimits, StoreObserver } from '../store.ts'
import { createAcks } from './acks.ts'
import { createBatches, UNKNOWN_MS } from './batches.ts'
import { createBodies } from './bodies.ts'
import { type Cleaning, createCleaning } from './cleaning.ts'
import { mendDamage } from './damage.ts'
import { createDeliveryNotes } from './delivery-notes.ts'
import { createFaultReporter } from './fault-reporter.ts'
import { createIdempotency } from './idempotency.ts'
import { createIdleLogs } from './idle-logs.ts'
import { createLog } from './log.ts'
import { createLogScripts, type LogSize } from './log-scripts.ts'
import { createPace } from './pace.ts'
import { createPushing } from './pushing.ts'
import { createRevocations } from './revocations.ts'
import { type Command, connectServer, type Server, type ServerOptions } from './server.ts'
import { createStoredSizes } from './stored-sizes.ts'
import { createTemplates } from './templates.ts'

interface RedisStoreOptions {
  readonly address: RedisAddress
  readonly settings: ServerOptions['settings']
  /** Replicas that must confirm a write before it resolves. */
  readonly replicas: number
  readonly limits: StoreLimits
  readonly clock: Clock
  readonly observer: StoreObserver
  /** Called with each new reason why the store is away. */
  readonly onAway?: (reason: string) => void
  /** Called with each reason why stored data may be lost. */
  readonly onWarning?: (warning: string) => void
  /** Called with a fault of our own code that no caller waits for. */
  readonly onFault?: (error: unknown) => void
  /** Publishes new entries to other nodes; absent without a bus. */
  readonly pushSource?: PushSource | undefined
  /** Replaces the clock of Redis in tests, milliseconds since 1970. */
  readonly testTime?: ServerOptions['testTime']
}

/** Groups of reads under way at once. Bounded, because their replies are held in memory. */
const READ_GROUPS = 2
const CLOSE_MS = 500

/** Combines the states of several connections: away with the first reason there is, or back. */
function createStates({
  onAway,
  onBack,
}: {
  readonly onAway: (reason: string) => void
  readonly onBack: () => void
}): (name: string, reason: string | undefined) => void {
  const reasons = new Map<string, string>()
  let reported: string | undefined
  return (name, reason) => {
    if (reason === undefined) reasons.delete(name)
    else reasons.set(name, reason)
    const [first] = reasons.values()
    if (first === reported) return
    reported = first
    if (first === undefined) onBack()
    else onAway(first)
  }
}

/** Reports each warning once. */
function createWarner(onWarning: (warning: string) => void): (warnings: readonly string[]) => void {
  const reported = new Set<string>()
  return warnings => {
    for (const warning of warnings) if (!reported.has(warning)) onWarning(warning)
    for (const warning of warnings) reported.add(warning)
  }
}

/**
 * Keeps everything in a Redis, which any number of nodes may share. Never waits for a connection: while Redis is away,
 * each call rejects at once.
 */
export function redisStore({
  address,
  settings,
  replicas,
  limits,
  clock,
  observer,
  onAway = () => {},
  onWarning = () => {},
  onFault = () => {},
  pushSource,
  testTime,
}: RedisStoreOptions): Store {
  const reportFault = createFaultReporter(onFault)
  /** When a caller may last have been told less than what was written, monotonic milliseconds. */
  let unknownSince: number | undefined
  const onUnknown = (): void => {
    unknownSince = clock.monotonic()
  }
  // Redis has answered a question asked after UNKNOWN_MS: each unknown command has run by now, or never will.
  const onAnswer = (askedAt: number): void => {
    if (unknownSince === undefined || askedAt < unknownSince + UNKNOWN_MS) return
    unknownSince = undefined
    observer.resumed()
  }

  const tell = createStates({ onAway, onBack: onUnknown })
  const onWarnings = createWarner(onWarning)
  const connect = (name: string, wanted: number): Server =>
    connectServer({
      address,
      settings,
      replicas: wanted,
      clock,
      onState: reason => tell(name, reason),
      onWarnings,
      onAnswer,
      testTime,
    })

  const writer = connect('writes', replicas)
  // Uses a second connection for reads: a WAIT for replicas blocks its connection.
  const reader = replicas === 0 ? writer : connect('reads', 0)
  const onError = (command: Command, error: Error): void => mendDamage(reads, reportFault, command, error)
  const commits = createBatches({ server: writer, groups: 1, replicas, onUnknown, onError })
  const reads = createBatches({
    server: reader,
    groups: READ_GROUPS,
    replicas: 0,
    onUnknown: () => {},
    onError,
  })

  const isThere = (): boolean => reader.connection !== undefined
  const storedSizes = createStoredSizes({
    batches: reads,
    limits,
    isThere,
    reportFault,
  })
  const onSize = (owner: Topic, size: LogSize): void => storedSizes.noteSize(owner, size)
  const scripts = createLogScripts({ batches: reads, limits, observer, onSize })
  const now = (): number => testTime?.() ?? reader.connection?.now() ?? clock.now()
  const notes = createDeliveryNotes({ scripts, isThere, now, reportFault })
  const bodies = createBodies({ reads, scripts })
  const { cleanupMs } = limits
  const pace = createPace()
  const idleLogs = createIdleLogs({ batches: reads, scripts })
  const cleaning: Cleaning = createCleaning({
    batches: reads,
    scripts,
    notes,
    storedSizes,
    pace,
    idleLogs,
    cleanupMs,
    reportFault,
  })
  const { totals } = cleaning

  return {
    kind: 'redis',
    isUp: () => writer.isUp() && reader.isUp(),
    isSafe: () => writer.isSafe() && reader.isSafe(),
    log: createLog({
      commits,
      reads,
      scripts,
      bodies,
      storedSizes,
      notes,
      pace,
      idleLogs,
      limits,
      totals,
      pushing: pushSource && createPushing(pushSource, clock),
    }),
    acks: createAcks({ commits, scripts, bodies, notes, observer }),
    idempotency: createIdempotency({ commits, ttlMs: limits.idempotencyTtlMs }),
    revocations: createRevocations({ commits, reads, max: limits.maxRevocations }),
    templates: createTemplates({ commits, reads }),
    [Symbol.asyncDispose]: async () => {
      cleaning[Symbol.dispose]()
      notes.close()
      const flushed = notes.flushAll().then(storedSizes.flush)
      await Promise.race([flushed, Bun.sleep(CLOSE_MS)])
      storedSizes[Symbol.dispose]()
      for (const each of new Set([commits, reads, writer, reader])) each[Symbol.dispose]()
    },
  }
}
