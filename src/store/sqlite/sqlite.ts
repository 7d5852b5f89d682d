import { StoreAway, StoreFull } from '../../errors.ts'
import type { Clock } from '../../lib/time/clock.ts'
import { createSteadyClock, type SteadyClock } from '../../lib/time/steady-clock.ts'
import type { Topic } from '../../notification/topic.ts'
import { PRIORITIES } from '../../protocol/values.ts'
import type { Acks } from '../acks.ts'
import { memoryRevocations } from '../memory/revocations.ts'
import type { Revocations } from '../revocations.ts'
import type { Draft, Store, StoreLimits, StoreObserver, UserLog } from '../store.ts'
import { type DraftRow, PARTS, type Part } from './batch.ts'
import { type Commits, startCommits } from './commits.ts'
import { raiseUnhandled } from './faults.ts'
import { openFile, type StoreFile, type Sync } from './file.ts'
import { createReader } from './reader.ts'
import { resumeClock } from './resume-clock.ts'
import { createTemplates } from './templates.ts'

interface SqliteOptions {
  readonly path: string
  /** `full`: data is on the disk before a call resolves; `normal`: data has reached the operating system. */
  readonly sync: Sync
  readonly limits: StoreLimits
  readonly clock: Clock
  readonly observer: StoreObserver
  /** Longest wait of notes for other writes, milliseconds. Only tests set it. */
  readonly noteMs?: number
  /** Called with each new reason why the store is away. */
  readonly onAway?: (reason: string) => void
  /** Called with each reason why stored data may be lost. */
  readonly onWarning?: (warning: string) => void
  /** Called with a fault of our own code that no caller waits for. */
  readonly onFault?: (error: unknown) => void
}

const NOTE_MS = 100

const isOfSame = (draft: Draft, other: Draft | undefined): boolean =>
  draft.id === other?.id && draft.body === other.body

/** Drafts of one notification share its body, which is sent to the writer once. */
const rowOf = (draft: Draft, n: number, drafts: readonly Draft[]): DraftRow => [
  draft.owner,
  draft.id,
  isOfSame(draft, drafts[n - 1]) ? undefined : draft.body,
  draft.eventType,
  draft.occurredAt,
  PRIORITIES.indexOf(draft.priority),
  draft.expiresAt,
  draft.traceparent,
]

function logOf(file: StoreFile, commits: Commits, clock: SteadyClock): UserLog {
  return {
    ...createReader({ db: file.reader, lives: file.lives, clock }),
    append: async drafts => {
      if (drafts.length === 0) return []
      const appended = await commits.call('append', drafts.map(rowOf))
      if (appended === 'full') throw new StoreFull('STORE_MAX_BYTES or TENANT_MAX_STORED_BYTES is reached')
      return appended.map(([epoch, seq, repeated]) => ({ cursor: { epoch, seq }, repeated }))
    },
    received: (owner, cursor) => commits.note('received', owner, cursor),
    handed: (owner, epoch, seqs) => commits.note('handed', owner, epoch, seqs, clock.now()),
    totals: () => commits.call('totals'),
  }
}

const acksOf = (commits: Commits): Acks => ({
  ack: (owner, ids) => commits.call('ack', owner, ids),
  ackThrough: async (owner, cursor) => {
    for (let count = 0; ; ) {
      const settled = await commits.call('ackThrough', owner, cursor)
      if (settled === undefined) return undefined
      count += settled.count
      if (!settled.more) return count
    }
  },
  redeliver: (owner, cursor, most) => commits.call('redeliver', owner, cursor, most),
})

interface RevocationRow {
  readonly owner: Topic
  readonly before: number
  readonly until: number
}

/** Keeps all revocations in memory, so that a token check never waits. The file stores their ends on the store's clock. */
function revocationsOf(
  { reader }: StoreFile,
  commits: Commits,
  { clock, steady }: { readonly clock: Clock; readonly steady: SteadyClock },
  { maxRevocations: maxPerTenant }: StoreLimits,
): Revocations {
  const rows = reader.query<RevocationRow, [number]>('SELECT * FROM revocations WHERE until >= ?')
  const recorded = rows.all(steady.now()).map(row => ({ ...row, until: row.until + steady.jumped }))
  const revoked = memoryRevocations({ clock, maxPerTenant, recorded })
  return {
    revoke: async (owner, before, until) => {
      // In force in this process from here on. If the write fails, the caller retries.
      if ((await revoked.revoke(owner, before, until)) === 'full') return 'full'
      await commits.call('revoke', owner, before, until - steady.jumped)
      return 'revoked'
    },
    before: revoked.before,
  }
}

/**
 * Keeps everything in one file. Reads run in the caller's turn; a separate thread writes. Throws ConfigError for a file
 * that the service must not start with.
 */
export async function sqliteStore({
  path,
  sync,
  limits,
  clock,
  observer,
  noteMs = NOTE_MS,
  onAway = () => {},
  onWarning = () => {},
  onFault = raiseUnhandled,
}: SqliteOptions): Promise<Store> {
  const file = openFile(path, sync)
  const { jumped, warning } = resumeClock(file.knownTime, { wall: clock.now(), uptime: clock.uptime?.() })
  if (warning !== undefined) onWarning(warning)
  const steady = createSteadyClock(clock, { jumped, onJump: () => noteTime() })
  const commits = startCommits({
    setup: {
      opened: file.opened,
      lives: file.lives,
      limits,
      synchronous: sync === 'full' ? 'FULL' : 'NORMAL',
    },
    clock: steady,
    observer,
    noteMs,
    onAway,
    onFault,
  })
  let isClosed = false
  let isCleaning = false

  const noteTime = (): void => {
    const uptime = clock.uptime?.()
    commits.note('clock', steady.jumped, uptime === undefined ? null : clock.now() - uptime)
  }

  /** Returns whether there is more. The next interval retries a failed part. */
  const cleanPart = (part: Part): Promise<boolean> =>
    commits.call('cleanUp', part).catch(error => {
      if (!(error instanceof StoreAway)) onFault(error)
      return false
    })

  /** Runs in bounded steps, so that other work gets its turn in between. */
  const cleanUp = async (): Promise<void> => {
    if (isCleaning) return
    isCleaning = true
    noteTime()
    for (const part of PARTS) while (!isClosed && (await cleanPart(part)));
    isCleaning = false
  }
  const timer = setInterval(() => void cleanUp(), limits.cleanupMs)
  timer.unref()
  noteTime()

  return {
    kind: 'sqlite',
    isUp: commits.isUp,
    log: logOf(file, commits, steady),
    acks: acksOf(commits),
    idempotency: {
      reserve: claim => commits.call('reserve', claim),
      answer: (claim, answer) => commits.note('answer', claim, answer),
      release: (claim, how) => commits.note('release', claim, how),
    },
    revocations: revocationsOf(file, commits, { clock, steady }, limits),
    templates: createTemplates({ db: file.reader, commits }),
    [Symbol.asyncDispose]: async () => {
      isClosed = true
      clearInterval(timer)
      noteTime()
      await commits.close()
      file[Symbol.dispose]()
    },
  }
}
