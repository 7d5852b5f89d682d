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

/** Bound on each step of an attempt: the token, and from opening to `connected`. */
const STEP_MS = 15_000
const FIRST_BACKOFF_MS = 500
const MAX_BACKOFF_MS = 20_000
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

const without = (all: readonly string[], some: readonly string[]): string[] =>
  all.filter(name => !some.includes(name))

/** Computes the next state and what to do. Changes nothing and reads nothing else. */
export function step(
  state: State,
  [type, ...details]: Event,
  now: number,
  /** From 0 to 1, without 1. */
  random: number,
): readonly [State, readonly Effect[]] {
  const s: Draft = { ...state }
  const effects: Effect[] = []
  const act = (...effect: Effect) => void effects.push(effect)
  const isStream = s.transport === 'sse'
  /** Transport of the next link. */
  const nextTransport = s.blocked < BLOCKED_AFTER ? 'websocket' : 'sse'

  /** Enters a phase without links, question and timers. */
  const enter = (phase: State['phase'], error = s.error) => {
    s.phase = phase
    s.error = error
    s.renewal = undefined
    s.joined = []
    act('drop')
  }

  const begin = () => {
    enter('token')
    act('ask')
    act('time', 'main', STEP_MS)
  }

  /** Asks for a token on an open link: for a WebSocket, or for a stream that replaces this one. */
  const renew = () => {
    s.renewal = 'token'
    act('ask')
    act('time', 'renew', STEP_MS)
  }

  const wait = (error: Fault) => {
    enter('waiting', error)
    s.refused = []
    s.retryAt = Math.max(
      s.notBefore,
      now + random * Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** s.failures++),
    )
    act('time', 'main', s.retryAt - now)
  }

  const fail = ({ status = 0, retryAfterMs = 0, refused = [] }: Ending) => {
    const isReplacement = s.renewal === 'link'
    const isBlocked = isReplacement && nextTransport === 'websocket'
    s.notBefore = Math.max(s.notBefore, now + retryAfterMs)
    s.refused = [...s.refused, ...refused]
    if (refused[0]) return isReplacement ? renew() : begin()
    // A stream that fails as well shows that the network is down, not that WebSockets are blocked.
    if (s.phase === 'opening' && isStream) s.blocked -= BLOCKED_AFTER
    else if (s.phase === 'opening' ? !REFUSALS.includes(status) : isBlocked) s.blocked++
    if (status === 401) s.refusals++
    if (status === 4403 || s.refusals >= MAX_REFUSALS) enter('closed', faultOf(status))
    else if (isReplacement && retryAfterMs) act('time', 'renew', retryAfterMs)
    else if (isBlocked) renew()
    // There may be room for one link only.
    else if (status === 401 || (isReplacement && now >= s.notBefore)) begin()
    else wait(faultOf(status))
  }

  /** The renewal has worked. */
  const settle = () => {
    s.renewal = undefined
    s.error = s.refused[0] ? fault('SUBSCRIPTION_ERROR', String(s.refused)) : undefined
  }

  const subscribe = (type: 'Subscribe' | 'Unsubscribe', channels: string[]) => {
    if (channels[0]) act('send', { type, payload: { channels } })
  }

  /** Joins and leaves channels. A stream names its channels in its address: another one replaces it. */
  const sync = () => {
    const more = without(s.channels, [...s.joined, ...s.refused])
    const fewer = without(s.joined, s.channels)
    if (s.transport === 'websocket') {
      // At the limit a channel makes room for another one.
      subscribe('Unsubscribe', fewer)
      subscribe('Subscribe', more)
    } else if (!s.renewal && (more[0] || fewer[0])) renew()
  }

  const takeMessage = (message: ServerMessage) => {
    if (message.type === 'connected') {
      if (s.phase === 'opening') act('time', 'again', TRIAL_MS)
      s.transport = nextTransport
      s.phase = 'online'
      s.failures = s.refusals = 0
      act('deliver', message)
      settle()
      s.silenceMs = message.heartbeat_seconds * 2000
      s.joined = message.channels ?? []
      sync()
    }
    if (s.transport === 'websocket') s.blocked = WORKS
    if (s.phase === 'online') act('time', 'main', s.silenceMs)
    if (message.type === 'notification') act('deliver', message)
    if (message.type === 'subscribed') {
      s.joined = [...s.joined, ...message.payload]
      subscribe('Unsubscribe', without(s.joined, s.channels))
    }
    if (message.type === 'unsubscribed') s.joined = without(s.joined, message.payload)
    if (message.type === 'authenticated') settle()
    if (message.type === 'shutdown') s.notBefore = now + message.reconnect_after_seconds * 1000
    if (message.type === 'token_expiring') renew()
    if (message.type !== 'error') return
    if (isStream) return fail({ status: message.code === 'FORBIDDEN' ? 4403 : 4401 })
    s.error = fault(message.code, message.message)
    if (message.code === 'SUBSCRIPTION_ERROR') s.refused = without(s.channels, s.joined)
    if (message.code === 'RATE_LIMITED') act('time', 'again', SUBSCRIBE_AGAIN_MS)
  }

  const noToken = (message: string) => {
    const error = fault('TOKEN', message)
    if (s.phase === 'token') return wait(error)
    s.error = error
  }

  const on: Events = {
    start: begin,
    standBy: () => enter('standby'),
    wake: () => {
      if (s.phase === 'waiting' && now >= s.notBefore) begin()
    },
    token: token => {
      if (s.phase === 'token') {
        s.phase = 'opening'
        s.transport = nextTransport
        act('time', 'main', STEP_MS)
      } else if (isStream) s.renewal = 'link'
      else return act('send', { type: 'Auth', payload: { token } })
      act('open', nextTransport, token, without(s.channels, s.refused))
    },
    noToken,
    message: takeMessage,
    ended: fail,
    main: () => {
      if (s.phase === 'waiting') begin()
      else if (s.phase === 'token') noToken('TIMEOUT')
      else fail({})
    },
    renew: () => {
      if (s.renewal === 'token') renew()
      else if (s.renewal) fail({})
    },
    again: () => {
      if (!isStream) return sync()
      act('time', 'again', TRIAL_MS)
      // One more failure means that it is still blocked.
      if (--s.blocked < BLOCKED_AFTER) renew()
    },
    want: channels => {
      s.refused = without(s.refused, without(s.channels, channels))
      // An earlier Unsubscribe may still be on its way.
      s.joined = without(s.joined, without(channels, s.channels))
      s.channels = channels
      if (s.phase === 'online') sync()
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
