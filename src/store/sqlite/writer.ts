import { type Database, SQLiteError } from 'bun:sqlite'
import type { StoreLimits } from '../store.ts'
import type { Template } from '../template.ts'
import { applyChanges } from '../template.ts'
import type { Batch, Call, Fault, Reply, Verb, Writer } from './batch.ts'
import { createBodies } from './bodies.ts'
import { createDeliveryStates } from './delivery-states.ts'
import { type BatchContext, createEntries } from './entries.ts'
import { createExpiry } from './expiry.ts'
import { isAway } from './faults.ts'
import { createHeads } from './heads.ts'
import { createKeys } from './keys.ts'
import type { Lives } from './life.ts'
import { createLimitedAppend } from './limited-append.ts'

/** Carries out batches, one transaction each. The only code that writes to the file. */
export type CarryOut = (batch: Batch) => Reply

type Step = Call | 'purge'
/** Errors by the step that failed. */
type Faults = Map<Step, unknown>

const FAULT = Symbol('fault')

const isHandOver = ([verb]: Call): boolean => verb === 'handed'

const listOf = (faults: Faults, calls: readonly Call[]): readonly Fault[] =>
  [...faults].map(([of, error]) => {
    const answer = of === 'purge' ? -1 : calls.indexOf(of)
    return { answer: answer < 0 ? undefined : answer, error }
  })

/** Another process that reads or copies the file may lock it for moments. SQLite itself would wait whole seconds. */
const RETRY_MS = 10
const MAX_TRIES = 50
/** Entries between two signs of progress. */
const STEP = 500

const isBusy = (error: unknown): boolean =>
  error instanceof SQLiteError && error.code?.startsWith('SQLITE_BUSY') === true

function templatesOf(db: Database): Pick<Writer, 'createTemplate' | 'updateTemplate' | 'deleteTemplate'> {
  const select = db.query<{ json: string }, [string, string]>(
    'SELECT json FROM templates WHERE tenant = ? AND id = ?',
  )
  const count = db.query<{ count: number }, [string]>(
    'SELECT count(*) AS count FROM templates WHERE tenant = ?',
  )
  const insert = db.query('INSERT INTO templates (tenant, id, json) VALUES (?, ?, ?)')
  const update = db.query('UPDATE templates SET json = ? WHERE tenant = ? AND id = ?')
  const remove = db.query('DELETE FROM templates WHERE tenant = ? AND id = ?')

  return {
    createTemplate: (tenant, template, most) => {
      if (select.get(tenant, template.id) !== null) return 'exists'
      if ((count.get(tenant)?.count ?? 0) >= most) return 'full'
      insert.run(tenant, template.id, JSON.stringify(template))
      return 'created'
    },
    updateTemplate: (tenant, id, changes) => {
      const row = select.get(tenant, id)
      if (row === null) return undefined
      const after = applyChanges(JSON.parse(row.json) as Template, changes)
      update.run(JSON.stringify(after), tenant, id)
      return after
    },
    deleteTemplate: (tenant, id) => remove.run(tenant, id).changes > 0,
  }
}

export function createWriter({
  db,
  lives,
  limits,
  givenUp,
  onWork = () => {},
}: {
  readonly db: Database
  readonly lives: Lives
  readonly limits: StoreLimits
  /** Calls up to this number are not carried out: their callers were told that they failed. */
  readonly givenUp: () => number
  /** Called after each STEP entries of one batch. */
  readonly onWork?: () => void
}): CarryOut {
  let worked = 0
  const context: BatchContext = {
    now: 0,
    jumped: 0,
    appended: 0,
    isClean: true,
    observerCalls: [],
    work: () => {
      if (++worked % STEP === 0) onWork()
    },
  }
  const heads = createHeads(db, lives)
  const bodies = createBodies(db, heads)
  const entries = createEntries(db, { heads, bodies, limits, context })
  const expiry = createExpiry(db, { heads, entries, limits, context })
  const revoke = db.query(
    `INSERT INTO revocations (owner, before, until) VALUES (?1, ?2, ?3) ON CONFLICT (owner) DO UPDATE SET
       before = CASE WHEN until < ?4 THEN ?2 ELSE max(before, ?2) END, until = max(until, ?3)`,
  )
  const probe = db.query('UPDATE service SET probe = zeroblob(?), seen_at = ?')
  const noteTime = db.query('UPDATE service SET jumped = ?, ahead = ?, seen_at = ?')
  const immediate = db.query('BEGIN IMMEDIATE')
  const commit = db.query('COMMIT')
  const rollBack = db.query('ROLLBACK')

  const writer: Writer = {
    ...createLimitedAppend(db, {
      heads,
      bodies,
      entries,
      limits,
      context,
      removeEnded: () => expiry.cleanUp('entries'),
    }),
    ...createDeliveryStates(db, { heads, entries, limits, context }),
    ...createKeys(db, { ttlMs: limits.idempotencyTtlMs, context }),
    ...templatesOf(db),
    revoke: (owner, before, until) => void revoke.run(owner, before, until, context.now),
    totals: heads.totals,
    cleanUp: expiry.cleanUp,
    clock: (jumped, ahead) => void noteTime.run(jumped, ahead, context.now),
    probe: bytes => void probe.run(bytes, context.now),
  }
  // The verb decides the types of its arguments. `Call` ensures it; the compiler cannot follow.
  const carryOut = ([verb, ...given]: Call): unknown =>
    (writer[verb] as (...given: readonly unknown[]) => ReturnType<Writer[Verb]>)(...given)

  const begin = (): void => {
    for (let tries = 1; ; tries++) {
      try {
        immediate.run()
        return
      } catch (error) {
        if (!isBusy(error) || tries === MAX_TRIES) throw error
        Bun.sleepSync(RETRY_MS)
      }
    }
  }

  const undo = (): void => {
    if (db.inTransaction) rollBack.run()
    bodies.rollBack()
    heads.rollBack()
    expiry.rollBack()
  }

  /** Runs a step unless it failed before. A fault ends the attempt; the next attempt skips the step. */
  const step = <T>(of: Step, faults: Faults, act: () => T): T | undefined => {
    if (faults.size > 0 && faults.has(of)) return undefined
    try {
      return act()
    } catch (error) {
      if (isAway(error)) throw error
      faults.set(of, error)
      throw FAULT
    }
  }

  const attempt = ({ notes, calls }: Batch, faults: Faults): readonly unknown[] => {
    begin()
    heads.begin()
    expiry.begin()
    const take = (call: Call): unknown => step(call, faults, () => carryOut(call))
    // Hands over first, so that such entries end as delivered. Receipts come after the purge: they save no ended entry.
    notes.filter(isHandOver).forEach(take)
    step('purge', faults, expiry.purge)
    notes.filter(note => !isHandOver(note)).forEach(take)
    const answers = calls.map(take)
    bodies.write()
    heads.write()
    return answers
  }

  const run = (batch: Batch): Reply => {
    context.now = batch.now
    context.jumped = batch.jumped ?? 0
    const faults: Faults = new Map()
    for (;;) {
      context.observerCalls = []
      worked = 0
      const skipped = Math.max(0, givenUp() - batch.first + 1)
      const calls = batch.calls.slice(skipped)
      try {
        const answers = attempt({ ...batch, calls }, faults)
        // A caller that was told of a failure may retry elsewhere: roll back its call.
        if (givenUp() >= batch.first + skipped && calls.length > 0) undo()
        else {
          commit.run()
          return {
            type: 'done',
            skipped,
            answers,
            observerCalls: context.observerCalls,
            faults: listOf(faults, calls),
          }
        }
      } catch (error) {
        if (error !== FAULT) throw error
        undo()
        if (faults.has('purge')) expiry.pause()
      }
    }
  }

  return batch => {
    try {
      return run(batch)
    } catch (error) {
      undo()
      return isAway(error) ? { type: 'failed', reason: error.message } : { type: 'failed', fault: error }
    }
  }
}
