import { createAcks } from './acks.ts'
import { step } from './connection.ts'
import type { Delivered, Effects, Event, State } from './connection-state.ts'
import { fault, INITIAL, NO_SOCKETS, snapshotOf } from './connection-state.ts'
import { identityOf } from './identity.ts'
import { createInbox } from './inbox.ts'
import { type Link, openLink, postAcks } from './links.ts'
import { ALL, type Listeners } from './listeners.ts'
import { type Runtime, watchPage } from './runtime.ts'
import { joinTabs, type TabMessage, type Tell, type View, type Wants } from './tabs.ts'
import type { ClientOptions, Fault, Gap } from './types.ts'

/** The connection of a client, its own or that of the tab that leads. */
export interface Session {
  readonly view: View
  /** Channels or handlers of this tab have changed. The first call connects. */
  changed(): void
  close(error?: Fault): void
}

const LINGER_MS = 1_000
/** Gathers acknowledgements: the service limits messages. */
const ACK_PAUSE_MS = 250

export function createSession(
  options: ClientOptions,
  runtime: Runtime,
  listeners: Pick<Listeners, 'attended' | 'release' | 'handle' | 'types' | 'end'>,
  channels: readonly string[],
  /** Tells of a gap, or that the view has changed. */
  emit: (gap?: Gap) => void,
): Session {
  const { clock, onError } = runtime
  const url = options.url.replace(/\/+$/, '')
  const ending = new AbortController()
  const { signal } = ending
  const timers: { [name: string]: unknown } = {}
  let state: State = { ...INITIAL, blocked: runtime.WebSocket ? 0 : NO_SOCKETS }
  /** The link in use, the one that is to replace it, and the one before it, which may still bring notifications. */
  let link: Link | undefined
  let next: Link | undefined
  let old: Link | undefined
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
  let leaderView: View | undefined
  const dispatch = (...event: Event) => {
    const [next, effects] = step(state, event, clock.now(), runtime.random())
    state = next
    for (const [name, ...details] of effects) {
      const carryOut = perform[name] as (...details: readonly unknown[]) => void
      carryOut(...details)
    }
    refresh()
  }

  const perform: Effects = {
    ask: () => {
      next?.drop()
      const mine = ++questions
      const answer = (...event: Event) => {
        if (mine === questions) dispatch(...event)
      }
      askToken().then(
        token => isLeader && answer('token', token),
        error => answer('noToken', String(error)),
      )
    },
    open: (transport, token, names) => {
      const mine = openLink(
        runtime,
        transport,
        url,
        token,
        inbox.cursor,
        names,
        message => {
          if (message.type === 'connected') {
            old?.drop()
            old = link
            link = mine
            next = undefined
            clock.setTimeout(() => old?.drop(), LINGER_MS)
          }
          if (mine !== old || message.type === 'notification') dispatch('message', message)
        },
        ended => mine !== old && dispatch('ended', ended),
      )
      next = mine
    },
    drop: () => {
      questions++
      old?.drop()
      link?.drop()
      next?.drop()
      old = link = next = undefined
      for (const timer of Object.values(timers)) clock.clearTimeout(timer)
    },
    send: message => link?.send(message),
    time: (name, ms) => later(name, ms, () => dispatch(name)),
    deliver: message => take(message),
  }

  const later = (name: string, ms: number, run: () => void) => {
    clock.clearTimeout(timers[name])
    timers[name] = clock.setTimeout(run, ms)
  }

  const askToken = async (): Promise<string> => {
    latestToken = await options.token()
    const identity = identityOf(latestToken)
    user ??= identity
    if (identity !== user) close(fault('USER_CHANGED'))
    if (!isLeader && !tell)
      await new Promise<void>(resolve => {
        const onRole = (isMine: boolean) => {
          isLeader = isMine
          leaderView = undefined
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
  const take = (message: Delivered) => {
    if (isLeader) tell?.({ message })
    if (message.type === 'notification') return inbox.push(message)
    inbox.greet(message)
    acks.restart()
  }

  const receive = ({ who, tab = '', wants, handled, view: theirs, message }: TabMessage) => {
    // A leader that failed may have left before its words arrive.
    if (theirs?.[0].state === 'closed') close(theirs[0].error)
    if (!isLeader) {
      if (message) take(message)
      leaderView = theirs ?? leaderView
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
    if (state.phase === 'idle') void start()
    if (isChanging) return
    isChanging = true
    queueMicrotask(() => {
      isChanging = false
      if (!isLeader) return tell?.({ tab, wants: wantsHere() })
      dispatch('want', [...new Set([wantsHere(), ...others.values()].flatMap(wants => wants.channels))])
      tell?.({ view, message: { cursor: inbox.cursor } })
    })
  }

  const acks = createAcks(
    () => state.phase === 'online',
    run => later('acks', ACK_PAUSE_MS, run),
    id => link?.send({ type: 'Ack', payload: { notification_id: id } }),
    ids => postAcks(runtime, url, latestToken, ids),
  )

  const inbox = createInbox(
    signal,
    // A tab that is alone keeps notifications until it has a handler; the other tabs must not wait for it.
    () => others.size > 0 || listeners.attended(),
    listeners.handle,
    // Only the leading tab saves: the others have seen no more than it has.
    cursor => isLeader && options.cursor?.save(cursor),
    ({ id, event_type }) => {
      const handles = ({ types }: Wants) => types.includes(event_type) || types.includes(ALL)
      const isMine = handles(wantsHere())
      // A notification that no tab has a handler for is done with.
      if (isLeader && (isMine || ![...others.values()].some(handles))) acks.add(id)
      else if (isMine) tell?.({ handled: id })
    },
    isFull => {
      if (isLeader) dispatch(isFull ? 'standBy' : 'start')
      else if (isFull) emit({ reason: 'trimmed' })
    },
    emit,
    onError,
  )

  /** Tells listeners and other tabs what has changed. */
  const refresh = () => {
    const { phase, error, joined, refused } = state
    const next: View = (phase === 'standby' && leaderView) || [snapshotOf(state), [...joined, ...refused]]
    if (JSON.stringify(next) === JSON.stringify(view)) return
    view = next
    // A tab that closes by itself leaves the others alone.
    if (isLeader && (phase !== 'closed' || error)) tell?.({ view })
    if (phase === 'closed') {
      leave()
      ending.abort()
      acks.flush()
      listeners.end(error)
    }
    emit()
  }

  const close = (error?: Fault) => {
    acks.flush()
    dispatch('close', error)
  }

  const start = async () => {
    dispatch('standBy')
    try {
      inbox.greet({ cursor: await options.cursor?.load() })
    } catch (error) {
      onError(error)
    }
    dispatch('start')
  }

  const leave = () => tell?.({ tab, wants: { channels: [], types: [] } })

  watchPage(() => dispatch('wake'), acks.flush, leave, signal)

  return {
    get view() {
      return view
    },
    changed,
    close,
  }
}
