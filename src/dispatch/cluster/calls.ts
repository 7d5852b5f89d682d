import { ALL_NODES, type Bus, type BusTopic, nodeTopic } from '../../bus/bus.ts'
import type { Awaitable } from '../../lib/flow/awaitable.ts'
import { every } from '../../lib/time/every.ts'
import type { OnFault } from '../../observe/fault.ts'
import type { Answers } from './answers.ts'
import { type Answer, createOutbox } from './outbox.ts'
import { lacksOnly, missingOf, newCall, type PendingCall } from './pending-call.ts'

/** A call whose message something else publishes: `head`, a line break, and the text. */
export interface BegunCall {
  readonly id: number
  readonly head: string
}

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
  /** Asks every other node that joined the topic. Rejects with StoreAway while the bus is away. */
  ask(topic: BusTopic, kind: string, text: string): Promise<Answers>
  /** Publishes a message that has no answer. Rejects with StoreAway while the bus is away. */
  tell(topic: BusTopic, kind: string, text: string): Promise<void>
  /** Head of a message without an answer that something else publishes. */
  headOf(kind: string): string
  /** Begins a call that something else publishes. `collect` or `cancel` must follow. */
  begin(kind: string): BegunCall
  /** Awaits the answers to a begun call; `nodes` is the number that the message reached, this node included. */
  collect(id: number, topic: BusTopic, nodes: number): Promise<Answers>
  /** Ends a begun call that reached no node, or whose outcome is unknown. */
  cancel(id: number): void
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
  readonly onHeard?: (instance: string) => void
}

/** Time to answer, 500 ms. Counts ticks, not clock time: a stall of this node must not blame others. */
const TICK_MS = 25
const ANSWER_TICKS = 20

const ANSWERS = 'answers'
/** Call id of a message without an answer. */
const NO_ANSWER = 0

const NO_FOREIGN: Foreign = { of: () => 0, forget: () => {} }
const FULL: Attendance = { silent: () => 0, awaited: () => undefined }

export function createCalls({
  bus,
  onFault,
  foreign = NO_FOREIGN,
  attendance = FULL,
  onMissing = () => {},
  onHeard = () => {},
}: CallsOptions): Calls {
  const { instance } = bus
  const kinds = new Map<string, AnswerCall>()
  /** Kinds of calls that this node also answers to itself. */
  const ownKinds = new Set<string>()
  /** Calls that are not published yet, or whose number of nodes is not known yet. */
  const begun = new Map<number, PendingCall>()
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

  const arrive = (id: number, from: string, text?: string): void => {
    const call = pending.get(id) ?? begun.get(id)
    if (call === undefined) return
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

  const passLater = async (origin: string, id: number, given: Promise<string>): Promise<void> =>
    pass(origin, id, await given)

  const answer = (kind: string, origin: string, id: number, text: string, topic: BusTopic): void => {
    // A node of another version may know more kinds: an empty answer counts as nothing.
    const given = kinds.get(kind)?.(text, topic, origin) ?? ''
    if (id === NO_ANSWER) {
      if (given instanceof Promise) given.catch(onFault)
    } else if (typeof given === 'string') pass(origin, id, given)
    else passLater(origin, id, given).catch(onFault)
  }

  const receive = (topic: BusTopic, message: string): void => {
    const end = message.indexOf('\n')
    const [kind = '', origin = '', number = ''] = message.slice(0, end).split(' ', 3)
    const id = Number(number)
    onHeard(origin)
    // For other kinds this node has served its own connections already.
    if (origin === instance && !ownKinds.has(kind)) arrive(id, instance)
    else if (kind === ANSWERS) arriveAll(origin, message.slice(end + 1))
    else answer(kind, origin, id, message.slice(end + 1), topic)
  }

  const headOf = (kind: string, id = NO_ANSWER): string => `${kind} ${instance} ${id}`

  const tell = async (topic: BusTopic, kind: string, text: string): Promise<void> => {
    await bus.publish(topic, `${headOf(kind)}\n${text}`)
  }

  const begin = (kind: string): BegunCall => {
    const id = ++last
    begun.set(id, newCall())
    return { id, head: headOf(kind, id) }
  }

  const collect: Calls['collect'] = (id, topic, nodes) => {
    const call = begun.get(id)
    if (call === undefined) return Promise.resolve({ texts: [], missing: nodes })
    begun.delete(id)
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
    cancel: id => void begun.delete(id),
    ask: async (topic, kind, text) => {
      const { id, head } = begin(kind)
      try {
        return await collect(id, topic, await bus.publish(topic, `${head}\n${text}`))
      } catch (error) {
        begun.delete(id)
        throw error
      }
    },
    [Symbol.dispose]: () => {
      ticks?.[Symbol.dispose]()
      for (const call of pending.values()) answerCaller(call)
      pending.clear()
    },
  }
}
