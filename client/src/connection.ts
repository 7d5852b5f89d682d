import type { ServerMessage } from '../../src/protocol/server-messages.ts'
import {
  type Effect,
  type Ending,
  type Event,
  type Events,
  fault,
  faultOf,
  type State,
} from './connection-state.ts'
import type { Fault } from './types.ts'

/** Inputs of `step` from outside. */
export interface Surroundings {
  readonly now: number
  readonly random: number
  /** Whether the runtime has WebSockets. */
  readonly hasSockets: boolean
}

/** Bound on each step of an attempt: the token, and from opening to `connected`. */
const STEP_MS = 15_000
const FIRST_BACKOFF_MS = 500
const MAX_BACKOFF_MS = 20_000
const RENEW_AGAIN_MS = 5_000
const SUBSCRIBE_AGAIN_MS = 1_000
/** How long a client uses a stream until it tries a WebSocket again. */
const TRIAL_MS = 300_000
const BLOCKED_AFTER = 2
/** Stands for the failures of a WebSocket that has worked: no number of later ones means blocked. */
const WORKS = -1e9
const MAX_REFUSALS = 2
/** Answers that only the service gives, not a proxy that blocks WebSockets. */
const REFUSALS = [401, 403, 429, 503]

type Draft = { -readonly [Key in keyof State]: State[Key] }

const without = (all: readonly string[], some: readonly string[]): readonly string[] =>
  all.filter(name => !some.includes(name))

/** Computes the next state and what to do. Changes nothing and reads nothing else. */
export function step(
  state: State,
  [type, ...details]: Event,
  { now, random, hasSockets }: Surroundings,
): readonly [State, readonly Effect[]] {
  const s: Draft = { ...state }
  const effects: Effect[] = []
  const act = (...effect: Effect) => void effects.push(effect)
  const isStream = s.transport === 'sse'

  /** Enters a phase without link, question and timers. */
  const enter = (phase: State['phase'], error = s.error) => {
    s.phase = phase
    s.error = error
    s.answered = []
    act('drop')
  }

  const begin = () => {
    enter('token')
    act('ask')
    act('time', 'main', STEP_MS)
  }

  const wait = (error: Fault, retryAfterMs = 0) => {
    enter('waiting', error)
    s.notBefore = Math.max(s.notBefore, now + retryAfterMs)
    s.retryAt = Math.max(
      s.notBefore,
      now + random * Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** s.failures++),
    )
    act('time', 'main', s.retryAt - now)
  }

  const fail = (ending: Ending) => {
    const { code, status = 0, retryAfterMs } = ending
    // A stream that fails as well shows that the network is down, not that WebSockets are blocked.
    if (s.phase === 'opening' && isStream) s.blocked = 0
    else if (s.phase === 'opening' && !REFUSALS.includes(status)) s.blocked++
    if (status === 401) s.refusals++
    if (code === 4403 || s.refusals >= MAX_REFUSALS) enter('closed', faultOf(ending))
    else if (status === 401) begin()
    else wait(faultOf(ending), retryAfterMs)
  }

  const subscribe = (type: 'Subscribe' | 'Unsubscribe', channels: readonly string[]) => {
    if (channels.length > 0) act('send', { type, payload: { channels: [...channels] } })
  }

  /** Subscribes to unanswered channels. A stream names its channels in its address only. */
  const subscribeAll = () => {
    if (isStream) s.answered = s.channels
    else subscribe('Subscribe', without(s.channels, s.answered))
  }

  const takeMessage = (message: ServerMessage) => {
    if (!isStream) s.blocked = WORKS
    if (message.type === 'connected') {
      s.phase = 'online'
      s.failures = s.refusals = 0
      s.error = undefined
      s.silenceMs = message.heartbeat_seconds * 2000
      if (isStream && hasSockets) act('time', 'again', TRIAL_MS)
      subscribeAll()
    }
    if (s.phase === 'online') act('time', 'main', s.silenceMs)
    if (message.type === 'connected' || message.type === 'notification') act('deliver', message)
    if (message.type === 'subscribed') s.answered = [...s.answered, ...message.payload]
    if (message.type === 'authenticated') s.error = undefined
    if (message.type === 'shutdown') s.notBefore = now + message.reconnect_after_seconds * 1000
    // A stream cannot renew its token: it ends, and the next one has a new token.
    if (message.type === 'token_expiring' && !isStream) act('ask')
    if (message.type !== 'error') return
    if (isStream) return fail({ code: message.code === 'FORBIDDEN' ? 4403 : 4401 })
    s.error = fault(message.code, message.message)
    if (message.code === 'SUBSCRIPTION_ERROR') s.answered = s.channels
    if (message.code === 'RATE_LIMITED') act('time', 'again', SUBSCRIBE_AGAIN_MS)
  }

  const noToken = (message: string) => {
    const error = fault('TOKEN', message)
    if (s.phase === 'token') return wait(error)
    s.error = error
    act('time', 'renew', RENEW_AGAIN_MS)
  }

  const on: Events = {
    start: begin,
    standBy: () => enter('standby'),
    wake: () => {
      if (s.phase === 'waiting' && now >= s.notBefore) begin()
    },
    token: token => {
      if (s.phase !== 'token') return act('send', { type: 'Auth', payload: { token } })
      s.phase = 'opening'
      s.transport = hasSockets && s.blocked < BLOCKED_AFTER ? 'websocket' : 'sse'
      act('open', s.transport, token)
      act('time', 'main', STEP_MS)
    },
    noToken,
    message: takeMessage,
    ended: fail,
    main: () => {
      if (s.phase === 'waiting') begin()
      else if (s.phase === 'token') noToken('no token yet')
      else fail({})
    },
    renew: () => act('ask'),
    again: () => {
      if (!isStream) return subscribeAll()
      // One more failure means that it is still blocked.
      s.blocked = 1
      begin()
    },
    want: channels => {
      const fewer = without(s.channels, channels)
      s.channels = channels
      s.answered = without(s.answered, fewer)
      if (s.phase !== 'online') return
      subscribeAll()
      if (!isStream) subscribe('Unsubscribe', fewer)
    },
    close: error => {
      enter('closed')
      s.error = error
    },
  }
  if (s.phase === 'closed') return [state, []]
  const apply = on[type] as (...details: readonly unknown[]) => void
  apply(...details)
  return [s, effects]
}
