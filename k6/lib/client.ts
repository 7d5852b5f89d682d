import { Counter } from 'k6/metrics'
import { createApi } from './api.ts'
import type { Inputs } from './inputs.ts'
import { createLedger } from './ledger.ts'
import type { Life } from './life.ts'
import { type Line, type Message, openLine } from './line.ts'
import { createOutbox, type Mark, markOf } from './outbox.ts'
import { durations, rate } from './series.ts'
import { createTimers } from './timers.ts'

const PING_MS = 25_000
/** Time limit for a connection, and for the answer to a Ping or Subscribe. */
const CONNECT_LIMIT_MS = 10_000
const REPLY_LIMIT_MS = 5_000
const RETRY_MS = 1_000
/** Time at the end after which an accepted, missing notification counts as lost. */
const GRACE_MS = 5_000
const LOOK_MS = 100
/** Notifications sent while a client is disconnected. */
const SENT_WHILE_AWAY = 2

const connectSuccess = rate('connect_success')
const messageLatency = durations('message_latency')
const resumeSuccess = rate('resume_success')
const replySuccess = rate('reply_success')
const lost = new Counter('lost')
const repeated = new Counter('repeated')
const outOfOrder = new Counter('out_of_order')
const disconnected = new Counter('disconnected')
const replayed = new Counter('replayed')
const channelMessages = new Counter('channel_messages')
const usersSettled = new Counter('users_settled')

export interface ClientOptions {
  readonly inputs: Inputs
  /** Name of this run; notifications of earlier runs are skipped. */
  readonly run: string
  readonly index: number
  readonly user: string
  readonly token: string
  readonly life: Life
  /** Start of the scenario, milliseconds since 1970. */
  readonly startedAt: number
  readonly sendEveryMs: number
  /** True if each notification is acknowledged (never by a silent client). */
  readonly acknowledges: boolean
}

/** Connection of the client. */
interface Attempt {
  line: Line
  readonly since: number
  /** Cursor it presents; empty for the first one, undefined for a client without cursors. */
  readonly cursor: string | undefined
  /** Time of `connected` or of the first notification. */
  readyAt: number | undefined
  /** True if this client ended it. */
  left: boolean
  /** Types of the expected answers. */
  readonly due: Set<string>
}

/** Runs one user who receives numbered notifications, and keeps the ledger. Returns at once; k6 waits for the end. */
export function startClient(options: ClientOptions): void {
  const { inputs, run, index, user, token, life, startedAt, sendEveryMs, acknowledges } = options
  const talks = life.role !== 'silent'
  const timers = createTimers()
  const ledger = createLedger()
  const outbox = createOutbox({ api: createApi(inputs), ledger, user, run, to: index })
  const channelHeads = new Map<string, number>()
  let attempt: Attempt | undefined
  let cursor = ''
  let sends = false
  let ending = false

  const until = (ms: number): number => startedAt + ms - Date.now()

  const ask = (of: Attempt, message: object, answer: string): void => {
    of.due.add(answer)
    of.line.send(message)
    timers.after(REPLY_LIMIT_MS, () => {
      if (of.due.delete(answer) && !of.left) replySuccess.add(false)
    })
  }

  const talk = (of: Attempt): void => {
    ask(of, { type: 'Subscribe', payload: { channels: inputs.channels } }, 'subscribed')
    const stop = timers.every(PING_MS, 0, () => {
      if (of === attempt && !of.left) ask(of, { type: 'Ping' }, 'pong')
      else stop()
    })
  }

  const beginSending = (): void => {
    if (sends) return
    sends = true
    if (talks) outbox.send()
    timers.every(sendEveryMs, sendEveryMs * life.phase, () => {
      if (!ending) outbox.send()
    })
  }

  const becomeReady = (of: Attempt): void => {
    if (of.readyAt !== undefined) return
    of.readyAt = talks ? Date.now() : of.since
    connectSuccess.add(true)
    if (talks) talk(of)
    beginSending()
  }

  /** Records the latency, or that the log kept the notification. */
  const time = ({ sent_at, channel }: Mark, of: Attempt): void => {
    if (sent_at >= (of.readyAt ?? 0)) messageLatency.add(Date.now() - sent_at)
    else if (channel === undefined) replayed.add(1)
  }

  const enter = ({ to, channel, n }: Mark): void => {
    if (channel !== undefined) {
      channelMessages.add(1)
      if (n <= (channelHeads.get(channel) ?? -1)) repeated.add(1)
      channelHeads.set(channel, n)
    } else if (to === index) {
      const as = ledger.received(n)
      if (as === 'repeated') repeated.add(1)
      if (as === 'out_of_order') outOfOrder.add(1)
    }
  }

  const take = (of: Attempt, message: Message): void => {
    becomeReady(of)
    // An unacknowledged notification is redelivered: do not count a repeat.
    if ('redelivered' in message) return
    if (typeof message['cursor'] === 'string') cursor = message['cursor']
    if (acknowledges && talks) of.line.send({ type: 'Ack', payload: { notification_id: message['id'] } })
    const mark = markOf(message['payload'], run)
    // With one token for all, each client receives the others' notifications too.
    if (mark === undefined || (mark.to ?? index) !== index) return
    time(mark, of)
    enter(mark)
  }

  const greet = (of: Attempt, message: Message): void => {
    if (of.cursor) resumeSuccess.add(message['recovered'] === true && message['cursor'] === of.cursor)
    if (typeof message['cursor'] === 'string') cursor = message['cursor']
    becomeReady(of)
  }

  const onMessage = (of: Attempt, message: Message): void => {
    if (of !== attempt) return
    const { type } = message
    if (type === 'connected') greet(of, message)
    else if (type === 'notification') take(of, message)
    else if (of.due.delete(String(type))) replySuccess.add(true)
  }

  const retry = (): void => {
    attempt = undefined
    timers.after(RETRY_MS, connect)
  }

  const onEnded = (of: Attempt): void => {
    if (of !== attempt) return
    if (of.left) {
      comeBack()
      return
    }
    if (of.readyAt === undefined) connectSuccess.add(false)
    else disconnected.add(1)
    retry()
  }

  /** Sends a silent client a notification, whose arrival shows that it is connected. */
  const onOpened = (of: Attempt): void => {
    if (of === attempt && !talks) outbox.send()
  }

  function connect(): void {
    if (attempt !== undefined) return
    const query = talks ? `&cursor=${encodeURIComponent(cursor)}` : ''
    const of: Attempt = {
      line: openLine(`${inputs.wsUrl}/ws?token=${token}${query}`, '/ws', {
        opened: () => onOpened(of),
        message: message => onMessage(of, message),
        ended: () => onEnded(of),
      }),
      since: Date.now(),
      cursor: talks ? cursor : undefined,
      readyAt: undefined,
      left: false,
      due: new Set(),
    }
    attempt = of
    timers.after(CONNECT_LIMIT_MS, () => {
      if (of !== attempt || of.readyAt !== undefined) return
      connectSuccess.add(false)
      of.line.close()
      retry()
    })
  }

  /** Reconnects after sends to the absent user, which must be replayed. */
  function comeBack(): void {
    attempt = undefined
    for (let sent = 0; sent < SENT_WHILE_AWAY; sent++) outbox.send()
    void outbox.idle().then(connect)
  }

  const leave = (): void => {
    const of = attempt
    if (of?.readyAt === undefined || of.left) return
    of.left = true
    of.line.close()
    // Reconnect even if the service does not answer the close.
    timers.after(REPLY_LIMIT_MS, () => {
      if (of === attempt) comeBack()
    })
  }

  const settle = (): void => {
    timers.end()
    if (attempt !== undefined) {
      if (attempt.readyAt === undefined) connectSuccess.add(false)
      attempt.left = true
      attempt.line.close()
    }
    attempt = undefined
    lost.add(ledger.missing())
    for (const counter of [repeated, outOfOrder, disconnected, replayed]) counter.add(0)
    usersSettled.add(1)
  }

  /** Stops sending; notifications in flight may still arrive. */
  const end = (): void => {
    ending = true
    outbox.stop()
    const deadline = Date.now() + GRACE_MS
    timers.every(LOOK_MS, 0, () => {
      if (Date.now() >= deadline || (!outbox.isBusy() && ledger.missing() === 0)) settle()
    })
  }

  timers.after(until(life.connectAt), connect)
  if (life.resumeAt !== undefined) timers.after(until(life.resumeAt), leave)
  timers.after(until(life.leaveAt), end)
}
