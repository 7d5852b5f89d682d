import { ALL_NODES, type Bus, type BusTopic, nodeTopic } from '../../bus/bus.ts'
import { type Awaitable, whenReady } from '../../lib/flow/awaitable.ts'
import { every } from '../../lib/time/every.ts'
import type { OnFault } from '../../observe/fault.ts'
import { type Answers, NO_ANSWERS } from './answers.ts'
import { headOf as headOfMessage, messageOf, readMessage } from './call-message.ts'
import { type Answer, createOutbox } from './outbox.ts'
import { lacksOnly, missingOf, newCall, type PendingCall } from './pending-call.ts'

/** A call that ended with missing answers. */
export interface MissedCall {
  readonly topic: BusTopic
  /** Number of subscribers that the message reached. */
  readonly nodes: number
  readonly missing: number
  /** Instances that answered. */
  readonly answered: readonly string[]
}

/** Answers a call of another node; the topic is the one that it was published on. */
export type AnswerCall = (text: string, topic: BusTopic, instance: string) => Awaitable<string>

/** Questions between nodes, over the bus. */
export interface Calls extends Disposable {
  /** Sets the answer to calls of a kind, a single word. `ofSelf`: also to those of this node. */
  on(kind: string, answer: AnswerCall, ofSelf?: boolean): void
  /**
   * Asks every other node that joined the topic; a plain value if the bus knows that there is none. Rejects with StoreAway
   * while the bus is away.
   */
  ask(topic: BusTopic, kind: string, text: string): Awaitable<Answers>
  /** Publishes a message that has no answer. Rejects with StoreAway while the bus is away. */
  tell(topic: BusTopic, kind: string, text: string): Promise<void>
  /**
   * Head of a message that something else publishes: it, a line break, and the text. Without an id the message has no
   * answer.
   */
  headOf(kind: string, id?: number): string
  /** Id of a new call that something else publishes. A call that reached no node needs no end. */
  begin(): number
  /** Awaits the answers to a begun call; `nodes` is the number that the message reached, this node included. */
  collect(id: number, topic: BusTopic, nodes: number): Promise<Answers>
}

/** Subscribers of a topic that are no nodes, and never answer. */
export interface Foreign {
  of(topic: BusTopic, nodes: number): number
  /** A node answered that had been taken for a foreign subscriber. */
  forget(topic: BusTopic): void
}

/** Nodes that do not answer, and those that do. */
export interface Attendance {
  /** Number of silent nodes. */
  silent(): number
  /** Instances that joined the topic and answer; undefined when that is not known. */
  awaited(topic: BusTopic): Awaitable<readonly string[] | undefined>
}

interface CallsOptions {
  readonly bus: Bus
  readonly onFault: OnFault
  readonly foreign?: Foreign
  readonly attendance?: Attendance
  readonly onMissing?: (call: MissedCall) => void
  /** Called with each message, own ones included. */
  readonly onMessage?: (instance: string) => void
}

/** Time to answer, 500 ms. Counts ticks, not clock time: a stall of this node must not blame others. */
const TICK_MS = 25
const ANSWER_TICKS = 20

const ANSWERS = 'answers'
/** Call id of a message without an answer. */
const NO_ANSWER = 0
/** Bound of one generation of calls with early answers. Each waits for the reply of one command to Redis. */
const MAX_EARLY = 10_000

const NO_FOREIGN: Foreign = { of: () => 0, forget: () => {} }
const FULL: Attendance = { silent: () => 0, awaited: () => undefined }

export function createCalls({
  bus,
  onFault,
  foreign = NO_FOREIGN,
  attendance = FULL,
  onMissing = () => {},
  onMessage = () => {},
}: CallsOptions): Calls {
  const { instance } = bus
  const kinds = new Map<string, AnswerCall>()
  /** Kinds of calls that this node also answers to itself. */
  const ownKinds = new Set<string>()
  /** Calls with answers that arrived before `collect`, or after the deadline. Two generations bound them. */
  let early = new Map<number, PendingCall>()
  let earlier = early
  /** Calls that wait for answers, oldest first. */
  const pending = new Map<number, PendingCall>()
  // The node that asked has a deadline: a failure needs no report.
  const { reply } = createOutbox((origin, answers) => {
    tell(nodeTopic(origin), ANSWERS, JSON.stringify(answers)).catch(() => {})
  })
  let last = 0
  let tick = 0
  /** Runs while a call waits. */
  let ticks: Disposable | undefined

  const answerCaller = (call: PendingCall): void => {
    const { done, texts, own } = call
    call.done = undefined
    done?.({ texts, own, missing: missingOf(call) })
  }

  const settle = (id: number, call: PendingCall): void => {
    const { nodes = 0, answered, topic } = call
    const isMissed = missingOf(call) > 0
    if (isMissed && !lacksOnly(call, attendance.silent())) return
    answerCaller(call)
    if (answered.length > nodes - call.foreign) foreign.forget(topic)
    // With foreign subscribers it stays until the deadline: one of them may be a node.
    if (isMissed || answered.length >= nodes) pending.delete(id)
  }

  const earlyCall = (id: number): PendingCall => {
    const known = early.get(id) ?? earlier.get(id)
    if (known !== undefined) return known
    if (early.size >= MAX_EARLY) {
      earlier = early
      early = new Map()
    }
    const call = newCall()
    early.set(id, call)
    return call
  }

  const arrive = (id: number, from: string, text?: string): void => {
    // Not a call of this node: a message without an answer, or garbage.
    if (!(id > NO_ANSWER && id <= last)) return
    const call = pending.get(id) ?? earlyCall(id)
    call.answered.push(from)
    if (from === instance) call.own = text
    else if (text !== undefined) call.texts.push(text)
    if (call.nodes !== undefined) settle(id, call)
  }

  const arriveAll = (from: string, answers: string): void => {
    for (const [id, text] of JSON.parse(answers) as readonly Answer[]) arrive(id, from, text)
  }

  const pass = (origin: string, id: number, text: string): void =>
    origin === instance ? arrive(id, instance, text) : reply(origin, id, text)

  const answer = (kind: string, origin: string, id: number, text: string, topic: BusTopic): void => {
    // A node of another version may know more kinds: an empty answer counts as nothing.
    const given = kinds.get(kind)?.(text, topic, origin) ?? ''
    if (id === NO_ANSWER) {
      if (given instanceof Promise) given.catch(onFault)
    } else if (typeof given === 'string') pass(origin, id, given)
    else given.then(answered => pass(origin, id, answered)).catch(onFault)
  }

  const receive = (topic: BusTopic, message: string): void => {
    const { kind, origin, id, text } = readMessage(message)
    onMessage(origin)
    // For other kinds this node has served its own connections already.
    if (origin === instance && !ownKinds.has(kind)) arrive(id, instance)
    else if (kind === ANSWERS) arriveAll(origin, text)
    else answer(kind, origin, id, text, topic)
  }

  const headOf = (kind: string, id = NO_ANSWER): string => headOfMessage(kind, instance, id)

  const tell = async (topic: BusTopic, kind: string, text: string): Promise<void> => {
    await bus.publish(topic, messageOf(headOf(kind), text))
  }

  const begin = (): number => ++last

  const collect: Calls['collect'] = (id, topic, nodes) => {
    const call = early.get(id) ?? earlier.get(id) ?? newCall()
    early.delete(id)
    earlier.delete(id)
    call.topic = topic
    call.nodes = nodes
    call.foreign = foreign.of(topic, nodes)
    call.endsAt = tick + ANSWER_TICKS
    pending.set(id, call)
    ticks ??= every(TICK_MS, endOverdue)
    return new Promise(done => {
      call.done = done
      settle(id, call)
      if (pending.has(id) && attendance.silent() > 0) awaitLess(id, call).catch(onFault)
    })
  }

  /** Ends the wait for silent nodes when all others have answered. */
  const awaitLess = async (id: number, call: PendingCall): Promise<void> => {
    const { topic } = call
    call.awaited = await attendance.awaited(topic)
    if (pending.has(id)) settle(id, call)
  }

  const end = (id: number, call: PendingCall): void => {
    pending.delete(id)
    const { topic, nodes = 0, answered } = call
    const missing = missingOf(call)
    answerCaller(call)
    if (missing > 0) onMissing({ topic, nodes, missing, answered })
  }

  const endOverdue = (): void => {
    tick++
    for (const [id, call] of pending) {
      if (call.endsAt > tick) return
      end(id, call)
    }
    ticks?.[Symbol.dispose]()
    ticks = undefined
  }

  bus.listen(receive)
  void bus.join(ALL_NODES)
  void bus.join(nodeTopic(instance))

  return {
    on: (kind, given, ofSelf = false) => {
      kinds.set(kind, given)
      if (ofSelf) ownKinds.add(kind)
    },
    tell,
    headOf,
    begin,
    collect,
    ask: (topic, kind, text) => {
      const id = begin()
      const published = bus.publishToOthers(topic, messageOf(headOf(kind, id), text))
      return whenReady(published, nodes => (nodes === 0 ? NO_ANSWERS : collect(id, topic, nodes)))
    },
    [Symbol.dispose]: () => {
      ticks?.[Symbol.dispose]()
      for (const call of pending.values()) answerCaller(call)
      pending.clear()
    },
  }
}
