import { createAcks } from './acks.ts'
import { step } from './connection.ts'
import { type Effects, type Event, fault, INITIAL, snapshotOf } from './connection-state.ts'
import { identityOf } from './identity.ts'
import { createInbox, type Frame } from './inbox.ts'
import { bearer, type Link, openLink } from './links.ts'
import type { Listeners } from './listeners.ts'
import { type Runtime, watchPage } from './runtime.ts'
import { joinTabs, type TabMessage, type Tell, type View, type Wants } from './tabs.ts'
import type { ClientOptions, Fault, Gap } from './types.ts'

/** The connection of a client, its own or that of the tab that leads. */
export interface Session {
  readonly view: View
  start(): void
  /** Channels or handlers of this tab have changed. */
  changed(): void
  close(error?: Fault): void
}

export interface SessionOptions {
  readonly listeners: Pick<Listeners, 'attended' | 'release' | 'handle' | 'types' | 'end'>
  readonly channels: readonly string[]
  readonly onGap: (gap: Gap) => void
  readonly onChange: () => void
}

/** Acknowledgements sent one by one at once; more go in one request. */
const MAX_ACK_MESSAGES = 8

export function createSession(
  options: ClientOptions,
  runtime: Runtime,
  { listeners, channels, onGap, onChange }: SessionOptions,
): Session {
  const { clock, fetch, onError } = runtime
  const url = options.url.replace(/\/+$/, '')
  const ending = new AbortController()
  const { signal } = ending
  const timers: { [name: string]: unknown } = {}
  let state = INITIAL
  let link: Link | undefined
  /** Questions for a token so far. */
  let questions = 0
  let latestToken = ''
  let isChanging = false
  let view: View = [{ state: 'idle' }, []]

  /** Name of this tab among the others. */
  const tab = String(Math.random())
  const others = new Map<string, Wants>()
  let user: string | undefined
  let tell: Tell | undefined
  let isLeader = false
  /** State of the leading tab, in a tab that follows. */
  let told: View | undefined

  const dispatch = (...event: Event) => {
    const hasSockets = runtime.WebSocket !== undefined
    const [next, effects] = step(state, event, { now: clock.now(), random: runtime.random(), hasSockets })
    state = next
    for (const [name, ...details] of effects) {
      const carryOut = perform[name] as (...details: readonly unknown[]) => void
      carryOut(...details)
    }
    refresh()
  }

  const perform: Effects = {
    ask: () => {
      const mine = ++questions
      const answer = (...event: Event) => {
        if (mine === questions) dispatch(...event)
      }
      askToken().then(
        token => isLeader && answer('token', token),
        error => answer('noToken', String(error)),
      )
    },
    open: (transport, token) => {
      link = openLink({
        ...runtime,
        transport,
        url,
        token,
        cursor: inbox.cursor,
        channels: state.channels,
        onMessage: message => dispatch('message', message),
        onEnd: ended => dispatch('ended', ended),
      })
    },
    drop: () => {
      questions++
      link?.drop()
      link = undefined
      for (const timer of Object.values(timers)) clock.clearTimeout(timer)
    },
    send: message => link?.send(message),
    time: (name, ms) => {
      clock.clearTimeout(timers[name])
      timers[name] = clock.setTimeout(() => dispatch(name), ms)
    },
    deliver: message => {
      if (message.type === 'notification') return take({ frame: message })
      take({ greeting: message })
      acks.flush()
    },
  }

  const askToken = async (): Promise<string> => {
    latestToken = await options.token()
    const identity = identityOf(latestToken)
    user ??= identity
    if (identity !== user) close(fault('USER_CHANGED', 'another user'))
    if (!isLeader && !tell)
      await new Promise<void>(resolve => {
        const onRole = (isMine: boolean) => {
          isLeader = isMine
          told = undefined
          if (isMine) tell?.({ who: true })
          else dispatch('standBy')
          if (state.phase === 'standby' && isMine) dispatch('start')
          changed()
          resolve()
        }
        if (options.shared !== false) tell = joinTabs(`ara:${url}:${user}`, signal, receive, onRole)
        if (!tell) onRole(true)
      })
    return latestToken
  }

  /** Takes what the connection brings, and passes it on to the other tabs. */
  const take = (message: Pick<TabMessage, 'frame' | 'greeting'>) => {
    if (isLeader) tell?.(message)
    if (message.frame) inbox.push(message.frame)
    if (message.greeting) inbox.greet(message.greeting)
  }

  const receive = (message: TabMessage) => {
    const { who, tab = '', wants, handled, view: theirs } = message
    // A leader that failed may have left before its words arrive.
    if (theirs?.[0].state === 'closed') close(theirs[0].error)
    if (!isLeader) {
      take(message)
      told = theirs ?? told
      refresh()
    } else if (wants) {
      others.set(tab, wants)
      listeners.release()
    } else if (handled) acks.add(handled)
    if (isLeader ? wants : who) changed()
  }

  const wantsHere = (): Wants => ({ channels, types: listeners.types() })

  /** Waits for the end of the turn: a component that goes may make room for one that wants the same. */
  const changed = () => {
    if (isChanging) return
    isChanging = true
    queueMicrotask(() => {
      isChanging = false
      if (!isLeader) return tell?.({ tab, wants: wantsHere() })
      dispatch('want', [...new Set([wantsHere(), ...others.values()].flatMap(wants => wants.channels))])
      tell?.({ view, greeting: { cursor: inbox.cursor } })
    })
  }

  const acks = createAcks({
    clock,
    isOnline: () => state.phase === 'online',
    send: ids => {
      const send = (id: string) => link?.send({ type: 'Ack', payload: { notification_id: id } })
      if (ids.length > MAX_ACK_MESSAGES || !ids.every(send))
        fetch(`${url}/api/v1/me/acks`, {
          method: 'POST',
          headers: { ...bearer(latestToken), 'content-type': 'application/json' },
          body: JSON.stringify({ notification_ids: ids }),
          keepalive: true,
        }).catch(() => {})
    },
  })

  const inbox = createInbox({
    handle: listeners.handle,
    // A tab that is alone keeps notifications until it has a handler; the other tabs must not wait for it.
    attended: () => (others.size > 0 ? undefined : listeners.attended()),
    onError,
    onGap,
    // Only the leading tab saves: the others have seen no more than it has.
    save: cursor => isLeader && options.cursor?.save(cursor),
    acknowledge: ({ id, event_type }: Frame) => {
      const handles = ({ types }: Wants) => types.includes(event_type) || types.includes('*')
      const isMine = handles(wantsHere())
      // A notification that no tab has a handler for is done with.
      if (isLeader && (isMine || ![...others.values()].some(handles))) acks.add(id)
      else if (isMine) tell?.({ handled: id })
    },
    onFull: isFull => {
      if (isLeader) dispatch(isFull ? 'standBy' : 'start')
      else if (isFull) onGap({ reason: 'trimmed' })
    },
  })

  /** Tells listeners and other tabs what has changed. */
  const refresh = () => {
    const { phase, error, answered } = state
    const next: View = (phase === 'standby' && told) || [snapshotOf(state), answered]
    if (JSON.stringify(next) === JSON.stringify(view)) return
    view = next
    // A tab that closes by itself leaves the others alone.
    if (isLeader && (phase !== 'closed' || error)) tell?.({ view })
    if (phase === 'closed') {
      inbox.close()
      tell?.({ tab, wants: { channels: [], types: [] } })
      ending.abort()
      acks.flush()
      listeners.end(error)
    }
    onChange()
  }

  const close = (error?: Fault) => {
    acks.flush()
    dispatch('close', error)
  }

  watchPage(() => dispatch('wake'), acks.flush, signal)

  return {
    get view() {
      return view
    },
    start: async () => {
      if (state.phase !== 'idle') return
      dispatch('standBy')
      try {
        inbox.resume((await options.cursor?.load()) ?? '')
      } catch (error) {
        onError(error)
      }
      dispatch('start')
    },
    changed,
    close,
  }
}
