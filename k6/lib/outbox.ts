import { type Api, isTaken, resultOf } from './api.ts'
import type { Ledger } from './ledger.ts'
import { rate } from './series.ts'

const sendSuccess = rate('send_success')

/** Payload of a notification of this run. */
export interface Mark {
  readonly run: string
  /** Number of the receiving client. */
  readonly to?: number
  readonly channel?: string
  readonly n: number
  /** Due time, milliseconds since 1970. */
  readonly sent_at: number
}

interface OutboxOptions {
  readonly api: Api
  readonly ledger: Ledger
  readonly user: string
  readonly run: string
  readonly to: number
}

/** Sends numbered notifications to a user, each after the previous answer. */
export interface Outbox {
  /** Queues one more, due now. */
  send(): void
  /** Resolves when all queued sends are answered. */
  idle(): Promise<void>
  isBusy(): boolean
  /** Stops sending; queued sends are dropped. */
  stop(): void
}

export function createOutbox({ api, ledger, user, run, to }: OutboxOptions): Outbox {
  let last = Promise.resolve()
  let waiting = 0
  let stopped = false

  const deliver = async (due: number): Promise<void> => {
    if (!stopped) {
      const n = ledger.issue()
      const payload: Mark = { run, to, n, sent_at: due }
      const response = await api.post('send', { target_user_id: user, event_type: 'k6.load', payload })
      const taken = isTaken(resultOf(response))
      if (taken) ledger.accepted(n)
      sendSuccess.add(taken)
    }
    waiting--
  }

  return {
    send: () => {
      waiting++
      const due = Date.now()
      last = last.then(() => deliver(due))
    },
    idle: () => last,
    isBusy: () => waiting > 0,
    stop: () => {
      stopped = true
    },
  }
}

/** Mark of a notification of this run; undefined for any other. */
export function markOf(payload: unknown, run: string): Mark | undefined {
  if (typeof payload !== 'object' || payload === null) return undefined
  if (!('run' in payload && 'n' in payload && 'sent_at' in payload) || payload.run !== run) return undefined
  const { n, sent_at } = payload
  const to = 'to' in payload ? Number(payload.to) : undefined
  const channel = 'channel' in payload ? String(payload.channel) : undefined
  return {
    run,
    n: Number(n),
    sent_at: Number(sent_at),
    ...(to !== undefined && { to }),
    ...(channel !== undefined && { channel }),
  }
}
