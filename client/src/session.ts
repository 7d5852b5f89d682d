import { createAcks } from './acks.ts'
import { step } from './connection.ts'
import type { Delivered, Effects, Event, State } from './connection-state.ts'
import { answeredOf, fault, INITIAL, NO_SOCKETS, snapshotOf } from './connection-state.ts'
import { identityOf } from './identity.ts'
import { createInbox } from './inbox.ts'
import { type Link, openLink, postAcks } from './links.ts'
import { ALL, type Listeners } from './listeners.ts'
import { type Runtime, watchPage } from './runtime.ts'
import { joinTabs, type TabMessage, type Tell, type View, type Wants } from './tabs.ts'
import type { ClientOptions, Fault, Gap } from './types.ts'

const LINGER_MS = 1_000
/** Gathers acknowledgements: the service limits messages. */
const ACK_PAUSE_MS = 250

/** The connection of this tab or of the leading one. Call `changed` when channels or handlers of this tab change. */
export function createSession(
  options: ClientOptions,
  runtime: Runtime,
  listeners: Pick<Listeners, 'attended' | 'release' | 'handle' | 'eventTypes' | 'end'>,
  channels: readonly string[],
  /** Reports a gap, or a changed view. */
  emit: (gap?: Gap) => void,
) {
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
  let view: View = [snapshotOf(state), []]
  /** Name of this tab among the others. */
  const tab = Math.random()
  /** Number of the latest wish of this tab; 0 when the leading tab has answered it. */
  let wish = 0
  const others = new Map<number | undefined, Wants>()
  let user: string | undefined
  let tell: Tell | undefined
  let isLeader = false
  let leading: Promise<void> | undefined
  /** State of the leading tab, in a tab that follows. */
  let leaderView: View | undefined
  const dispatch = (...event: Event) => {
    const [next, effects] = step(state, event, clock.now(), runtime.random())
    state = next
    for (const [name, ...details] of effects) {
      const carryOut = perform as Record<typeof name, (...details: readonly unknown[]) => void>
      carryOut[name](...details)
    }
    refresh()
  }

  /** Takes a message of the connection, and passes it on to the other tabs. */
  const take = (message: Delivered) => {
    if (isLeader) tell?.({ message })
    if (message.type === 'notification') return inbox.push(message)
    inbox.greet(message)
    acks.restart()
  }

  const perform: Effects = {
    ask: () => {
      next?.drop()
      const mine = ++questions
      askToken()
        .then(token => mine === questions && dispatch('token', token))
        .catch(error => mine === questions && dispatch('noToken', String(error)))
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
          if (mine !== old || message.type === 'notification') dispatch('received', message)
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
      for (const name in timers) clock.clearTimeout(timers[name])
    },
    send: message => link?.send(message),
    time: (name, ms) => later(name, ms, () => dispatch(name)),
    deliver: take,
  }

  const later = (name: string, ms: number, run: () => void) => {
    clock.clearTimeout(timers[name])
    timers[name] = clock.setTimeout(run, ms)
  }

  const askToken = async (): Promise<string> => {
    latestToken = (await options.token()).trim()
    const identity = identityOf(latestToken)
    user ??= identity
    if (identity !== user) close(fault('USER_CHANGED'))
    if (signal.aborted) return latestToken
    leading ??= new Promise<void>(resolve => {
      if (options.shared === false) resolve()
      else tell = joinTabs(`ara:${url}:${user}`, tab, signal, receive, changed, resolve)
    }).then(lead)
    await leading
    return latestToken
  }

  const lead = () => {
    isLeader = true
    tell?.({ who: true })
    changed()
    if (state.phase === 'standby') dispatch('start')
  }

  const receive = ({ who, tab, wants, handled, view: theirs, message }: TabMessage) => {
    // A leader that failed may have left before its words arrive.
    if (theirs?.[0].state === 'closed') close(theirs[0].error)
    if (!isLeader) {
      if (message) take(message)
      if (theirs) {
        leaderView = theirs
        dispatch('standby')
      }
      if (wish === wants?.id) {
        wish = 0
        emit()
      }
      return who && changed()
    }
    if (who) return dispatch('wake')
    if (handled) return acks.add(handled)
    const isNew = wants?.id && !others.has(tab)
    if (wants) others.set(tab, wants)
    else others.delete(tab)
    listeners.release()
    // Another leader must not be answered: it would answer in turn.
    if (tab) changed(wants)
    return isNew
  }

  const wantsHere = (): Wants => ({ channels, types: listeners.eventTypes(), id: wish })

  /** Waits for the end of the turn: a component that goes may make room for one that wants the same. `wants` are answered. */
  const changed = (wants?: Wants) => {
    wish = Math.random()
    if (state.phase === 'idle') void start()
    if (isChanging) return
    isChanging = true
    queueMicrotask(() => {
      isChanging = false
      if (state.phase === 'closed') return listeners.end(state.error)
      if (!isLeader) return tell?.({ tab, wants: wantsHere() })
      dispatch('want', [...new Set([wantsHere(), ...others.values()].flatMap(wants => wants.channels))])
      tell?.({ view, message: { cursor: inbox.cursor }, wants })
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
    () => others.size || listeners.attended(),
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
      if (isLeader) dispatch(isFull ? 'standby' : 'start')
      else if (isFull) emit({ reason: 'trimmed' })
    },
    emit,
    onError,
  )

  /** Tells listeners and other tabs what has changed. */
  const refresh = () => {
    const mine: View = [snapshotOf(state), answeredOf(state)]
    const next = (state.phase === 'standby' && !isLeader && leaderView) || mine
    if (JSON.stringify(next) === JSON.stringify(view)) return
    view = next
    // A tab that closes by itself leaves the others alone.
    if (isLeader && (state.phase !== 'closed' || state.error)) tell?.({ view })
    if (state.phase === 'closed') {
      ending.abort()
      changed()
    }
    emit()
  }

  const close = (error?: Fault) => {
    acks.flush()
    dispatch('close', error)
  }

  const start = async () => {
    dispatch('standby')
    try {
      inbox.greet({ cursor: await options.cursor?.load() })
    } catch (error) {
      onError(error)
    }
    dispatch('start')
  }

  const wake = () => {
    dispatch('wake')
    // The leading tab may be hidden, where timers are slow.
    tell?.({ who: true })
  }

  watchPage(wake, acks.flush, signal)

  // An answer to an earlier wish of this tab, or to another tab, must not count for the latest one.
  return { shown: (): View => (wish && !isLeader ? [view[0], []] : view), changed, close }
}
