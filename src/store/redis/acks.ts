import type { Topic } from '../../notification/topic.ts'
import type { Acks } from '../acks.ts'
import type { StoreObserver } from '../store.ts'
import type { Batches } from './batches.ts'
import type { Bodies } from './bodies.ts'
import type { DeliveryNotes } from './delivery-notes.ts'
import type { LogScripts } from './log-scripts.ts'
import { SCRIPTS, type Script } from './scripts.ts'

interface AcksOptions {
  readonly bodies: Bodies
  readonly commits: Batches
  readonly scripts: LogScripts
  readonly notes: DeliveryNotes
  readonly observer: StoreObserver
}

const BYTES = 500
const BYTES_OF_ID = 50
const FIELDS_OF_ID = 3

export function createAcks({ commits, scripts, bodies, notes, observer }: AcksOptions): Acks {
  /** Flushes the pending notes of the log before the script runs. */
  const commit = async (owner: Topic, script: Script, given: readonly (string | number)[]) => {
    await notes.flush(owner)
    const [reply] = await commits.run({
      bytes: BYTES + given.length * BYTES_OF_ID,
      build: connection => [scripts.command(connection, owner, script, given)],
    })
    return scripts.answer(owner, reply)
  }

  const tell = (owner: Topic, latency: number): void => {
    if (latency >= 0) observer.acked(owner, latency)
  }

  return {
    ack: async (owner, ids) => {
      const { answer } = await commit(owner, SCRIPTS.ack, ids)
      const [epoch, ...fields] = answer
      return ids.map((_, n) => {
        const [seq, late, latency] = fields.slice(n * FIELDS_OF_ID, (n + 1) * FIELDS_OF_ID).map(Number)
        if (!seq) return undefined
        tell(owner, latency ?? -1)
        return { late: late === 1, cursor: { epoch: String(epoch), seq } }
      })
    },
    ackThrough: async (owner, { epoch, seq }) => {
      let count = 0
      for (let after = 0; ; ) {
        const { more, answer } = await commit(owner, SCRIPTS.ackThrough, [epoch, seq, after])
        const [acked = -1, through = 0, ...latencies] = answer.map(Number)
        if (acked < 0) return after === 0 ? undefined : count
        count += acked
        for (const latency of latencies) tell(owner, latency)
        if (!more) return count
        after = through
      }
    },
    redeliver: async (owner, { epoch, seq }, most, timeoutMs) => {
      const { answer } = await commit(owner, SCRIPTS.redeliver, [epoch, seq, most, timeoutMs ?? ''])
      const [outcome, redelivered, body, trace] = answer
      if (outcome === 2) observer.gaveUp(owner)
      if (outcome === 3) return { dueInMs: Number(redelivered) }
      if (outcome !== 1) return undefined
      const [entry] = (await bodies.resolve(owner, [{ seq, body: String(body) }])) ?? []
      if (entry === undefined) return undefined
      return {
        body: entry.body,
        redelivered: Number(redelivered),
        ...(trace !== '' && { traceparent: String(trace) }),
      }
    },
  }
}
