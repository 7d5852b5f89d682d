import { readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Awaitable } from '../../lib/flow/awaitable.ts'
import type { Clock } from '../../lib/time/clock.ts'
import { every } from '../../lib/time/every.ts'
import { type BusTopic, newInstance } from '../bus.ts'
import { createConfirmations } from './confirmations.ts'
import { type RecordKind, recordOf } from './frames.ts'
import { dial, isReady, newPeer, type Peer, serveSiblings } from './peer.ts'
import { createTopicIndex } from './topic-index.ts'

/** Called with all that arrives over links. */
export interface LinkEvents {
  message(from: string, topic: BusTopic, text: string): void
  mark(from: string, kind: 'left' | 'took', change: number): void
  /** A sibling has opened its socket, before anything else of it. */
  met(sibling: string): void
  /** The link has ended. Messages may be lost, unless the sibling said that it ends. */
  ended(sibling: string, isOrderly: boolean): void
}

/** Sockets between the workers of one machine. Messages of one worker arrive in the order of its calls, or are lost. */
export interface Links extends Disposable {
  /** Name of this worker on the bus. */
  readonly instance: string
  /** Sets the receiver. Call once, before the first join. */
  listen(events: LinkEvents): void
  /** Instances with a working link. */
  siblings(): readonly string[]
  /** Number of siblings that joined the topic. */
  count(topic: BusTopic): number
  /** Sends to all siblings that joined the topic. */
  post(topic: BusTopic, text: string): void
  mark(kind: 'left' | 'took', change: number): void
  /** Resolves when each sibling knows that this worker joined the topic; a plain value if they do already. */
  join(topic: BusTopic): Awaitable<void>
  leave(topic: BusTopic): void
}

interface LinksOptions {
  /** Directory of the sockets, which only the workers use. */
  readonly directory: string
  readonly clock: Pick<Clock, 'monotonic'>
  readonly onLost: (fields: { readonly sibling: string; readonly reason: string }) => void
}

/** Longest wait for the links at the start. */
const START_MS = 1_000
const OLD_MS = 10_000
const RETRY_MS = 5_000

/** A process that was killed leaves its socket; one that starts is about to listen at its own. */
function removeIfOld(path: string): void {
  const made = statSync(path, { throwIfNoEntry: false })?.mtimeMs
  if (made !== undefined && Date.now() - made > OLD_MS) rmSync(path, { force: true })
}

/** Listens, and connects to all workers that listen already: each later one connects to this one. */
export async function openLinks({ directory, clock, onLost }: LinksOptions): Promise<Links> {
  const instance = newInstance()
  const peers = new Map<string, Peer>()
  const index = createTopicIndex<Peer>()
  /** Topics of this worker, with the promise of their confirmation. */
  const topics = new Map<BusTopic, Promise<void> | undefined>()
  let events: LinkEvents | undefined

  const open = (): readonly Peer[] => [...peers.values()].filter(({ out }) => out !== undefined)

  const end = (peer: Peer, reason: string): void => {
    if (peer.hasEnded) return
    const wasReady = isReady(peer)
    peer.hasEnded = true
    peers.delete(peer.instance)
    for (const socket of peer.sockets) socket.terminate()
    index.removeAll(peer)
    if (wasReady && !peer.saidBye) onLost({ sibling: peer.instance, reason })
    confirmations.forget(peer, !peer.saidBye)
    events?.ended(peer.instance, peer.saidBye)
  }
  const confirmations = createConfirmations({ clock, onSilent: peer => end(peer, 'it does not answer') })

  const connect = async (peer: Peer): Promise<void> => {
    peers.set(peer.instance, peer)
    const path = join(directory, peer.instance)
    const failed = await dial(peer, path, instance, end)
    if (failed !== undefined) {
      if ('code' in failed && failed.code === 'ECONNREFUSED') removeIfOld(path)
      peer.saidBye = true
      end(peer, failed.message)
    }
    if (peer.out === undefined) return
    for (const topic of topics.keys()) peer.out.put(recordOf('join', topic))
    const confirmed = confirmations.of(peer)
    if (peer.owed !== undefined) peer.out.put(recordOf('ack', peer.owed))
    await confirmed
  }

  const onAck = (peer: Peer, number: number): void => {
    peer.knowsUs = true
    confirmations.arrive(peer, number)
  }

  const onSync = (peer: Peer, number: string): void => {
    peer.isKnown = true
    if (peer.out === undefined) peer.owed = number
    else peer.out.put(recordOf('ack', number))
  }

  const onRecord = (peer: Peer, kind: RecordKind, topic: string, text: string): void => {
    switch (kind) {
      case 'message':
        events?.message(peer.instance, topic as BusTopic, text)
        break
      case 'join':
        index.add(peer, topic)
        break
      case 'leave':
        index.remove(peer, topic)
        break
      case 'sync':
        onSync(peer, topic)
        break
      case 'ack':
        onAck(peer, Number(topic))
        break
      case 'left':
      case 'took':
        events?.mark(peer.instance, kind, Number(topic))
        break
      case 'bye':
        peer.saidBye = true
        break
      case 'hello':
        throw new Error('expected one name of a worker')
    }
  }

  const path = join(directory, instance)
  const server = serveSiblings({
    path,
    onHello: (name, socket) => {
      const known = peers.get(name)
      const peer = known ?? newPeer(name)
      peer.sockets.add(socket)
      if (known === undefined) void connect(peer)
      events?.met(name)
      return peer
    },
    onRecord,
    onEnd: end,
  })

  const connectAll = async (): Promise<void> => {
    const names = readdirSync(directory).filter(name => name !== instance && !peers.has(name))
    await Promise.all(names.map(name => connect(newPeer(name))))
  }
  await Promise.race([connectAll(), Bun.sleep(START_MS)])
  // A link that broke is tried again.
  const retries = every(RETRY_MS, () => connectAll().catch(() => {}))

  return {
    instance,
    listen: given => {
      events = given
      for (const name of peers.keys()) events.met(name)
    },
    siblings: () => [...peers.values()].filter(isReady).map(peer => peer.instance),
    count: topic => index.of(topic)?.size ?? 0,
    post: (topic, text) => {
      const record = recordOf('message', topic, text)
      for (const { out } of index.of(topic) ?? []) out?.put(record)
    },
    mark: (kind, change) => {
      for (const { out } of open()) out?.put(recordOf(kind, String(change)))
    },
    join: topic => {
      if (topics.has(topic)) return topics.get(topic)
      const reached = open()
      for (const { out } of reached) out?.put(recordOf('join', topic))
      const isKnown = reached.length === 0 && confirmations.isClear()
      const promise = isKnown ? undefined : confirmations.atEndOfTurn(reached)
      topics.set(topic, promise)
      return promise?.then(() => {
        if (topics.get(topic) === promise) topics.set(topic, undefined)
      })
    },
    leave: topic => {
      if (!topics.delete(topic)) return
      for (const { out } of open()) out?.put(recordOf('leave', topic))
    },
    [Symbol.dispose]: () => {
      retries[Symbol.dispose]()
      confirmations[Symbol.dispose]()
      for (const peer of peers.values()) {
        peer.out?.put(recordOf('bye', ''))
        peer.out?.flush()
        peer.saidBye = true
        end(peer, 'stopped')
      }
      server.stop()
      rmSync(path, { force: true })
    },
  }
}
