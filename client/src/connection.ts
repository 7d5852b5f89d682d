import type { ServerMessage } from '../../src/protocol/server-messages.ts'
import {
  type Effect,
  type Ending,
  type Event,
  type Events,
  fault,
  faultOf,
  type State,
  without,
} from './connection-state.ts'
import type { Fault } from './types.ts'

/** Bound on each step of an attempt: the token, and from opening to `connected`. */
const STEP_MS = 15_000
const FIRST_BACKOFF_MS = 500
const MAX_BACKOFF_MS = 20_000
const ASK_AGAIN_MS = 1_000
/** How long a client uses a stream until it tries a WebSocket again. */
const TRIAL_MS = 300_000
const BLOCKED_AFTER = 2
/** Stands for the failures of a WebSocket that has worked: no number of later ones means blocked. */
const WORKS = -1e9
const MAX_REFUSALS = 2
/** Answers that only the service gives, not a proxy that blocks WebSockets. */
const REFUSALS = [401, 403, 429, 503]

type Draft = { -readonly [Key in keyof State]: State[Key] }

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
  const enter = (phase: State['phase'], error?: Fault) => {
    s.phase = phase
    s.error = error
    s.renewal = undefined
    s.joined = []
    act('drop')
  }

  const begin = () => {
    enter('asking', s.error)
    act('time', 'main', STEP_MS)
    act('ask')
  }

  /** Asks for a token on an open link: for a WebSocket, or for a stream that replaces this one. */
  const renew = () => {
    s.renewal = 'asking'
    act('time', 'renew', STEP_MS)
    act('ask')
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
    if (refused.length) return isReplacement ? renew() : begin()
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
    s.error = s.refused.length ? fault('SUBSCRIPTION_ERROR', String(s.refused)) : undefined
  }

  const subscribe = (type: 'Subscribe' | 'Unsubscribe', channels: string[]) => {
    if (channels.length) act('send', { type, payload: { channels } })
  }

  /** Joins and leaves channels. A stream names its channels in its address: another one replaces it. */
  const sync = () => {
    const more = without(s.channels, [...s.joined, ...s.refused])
    const fewer = without(s.joined, s.channels)
    const changes = [...fewer, ...more]
    // Waits for all answers: one to an earlier wish must not count for a later one.
    if (!changes.length || s.asked.length) return
    if (s.transport === 'websocket') {
      s.asked = changes
      // At the limit a channel makes room for another one.
      subscribe('Unsubscribe', fewer)
      subscribe('Subscribe', more)
    } else if (!s.renewal) renew()
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
      s.asked = []
    }
    if (s.transport === 'websocket') s.blocked = WORKS
    if (s.phase === 'online') act('time', 'main', s.silenceMs)
    if (message.type === 'notification') act('deliver', message)
    if (message.type === 'subscribed') {
      s.joined = [...s.joined, ...message.payload]
      // An error about the token may have arrived in between, and counted as a refusal.
      s.refused = without(s.refused, message.payload)
      s.asked = without(s.asked, message.payload)
    }
    if (message.type === 'unsubscribed') {
      s.joined = without(s.joined, message.payload)
      s.asked = without(s.asked, message.payload)
    }
    if (message.type === 'authenticated') settle()
    if (message.type === 'shutdown') s.notBefore = now + message.reconnect_after_seconds * 1000
    if (message.type === 'token_expiring' && s.renewal !== 'link') renew()
    if (message.type !== 'error') return
    if (isStream) return fail({ status: message.code === 'FORBIDDEN' ? 4403 : 4401 })
    s.error = fault(message.code, message.message)
    if (message.code === 'RATE_LIMITED') act('time', 'again', ASK_AGAIN_MS)
    else {
      s.refused = [...s.refused, ...s.asked]
      s.asked = []
    }
  }

  const noToken = (message: string) => {
    const error = fault('TOKEN', message)
    if (s.phase !== 'online') return wait(error)
    s.error = error
  }

  const on: Events = {
    start: begin,
    standby: () => enter('standby', s.error),
    wake: () => {
      if (s.phase === 'waiting' && now >= s.notBefore) begin()
    },
    token: token => {
      if (s.phase === 'asking') {
        s.phase = 'opening'
        s.transport = nextTransport
        act('time', 'main', STEP_MS)
      } else if (isStream) s.renewal = 'link'
      else return act('send', { type: 'Auth', payload: { token } })
      s.asked = without(s.joined, s.channels)
      act('open', nextTransport, token, without(s.channels, s.refused))
    },
    noToken,
    received: takeMessage,
    ended: fail,
    main: () => {
      if (s.phase === 'waiting') begin()
      else if (s.phase === 'asking') noToken('TIMEOUT')
      else {
        // The open link has failed, not the one that is to replace it.
        s.renewal = undefined
        fail({})
      }
    },
    renew: () => {
      if (s.renewal === 'link') fail({})
      else if (s.renewal) renew()
    },
    again: () => {
      if (isStream) {
        act('time', 'again', TRIAL_MS)
        // One more failure means that it is still blocked.
        if (s.renewal !== 'link' && --s.blocked < BLOCKED_AFTER) renew()
      } else s.asked = []
    },
    want: channels => {
      const changes = [...without(s.channels, channels), ...without(channels, s.channels)]
      s.refused = without(s.refused, changes)
      s.channels = channels
    },
    close: error => enter('closed', error),
  }
  if (s.phase === 'closed') return [state, []]
  const apply = on as Record<typeof type, (...details: readonly unknown[]) => void>
  apply[type](...details)
  if (s.phase === 'online') sync()
  return [s, effects]
}
