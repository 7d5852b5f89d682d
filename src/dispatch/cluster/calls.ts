import { ALL_NODES, type Bus, type BusTopic, nodeTopic } from '../../bus/bus.ts'
import type { Awaitable } from '../../lib/flow/awaitable.ts'
import type { Clock } from '../../lib/time/clock.ts'
import { every } from '../../lib/time/every.ts'
import type { OnFault } from '../../observe/fault.ts'

/** The answers of other nodes to one call. */
export interface Answers {
  readonly texts: readonly string[]
  /** Nodes that did not answer in time. */
  readonly missing: number
}

/** Answers a call of another node; the topic is the one that it was published on. */
export type AnswerCall = (text: string, topic: BusTopic) => Awaitable<string>

/** Questions between nodes, over the bus. */
export interface Calls extends Disposable {
  /** Sets the answer to calls of a kind. A kind is one word. */
  on(kind: string, answer: AnswerCall): void
  /** Asks every other node that joined the topic. Rejects with StoreAway while the bus is away. */
  ask(topic: BusTopic, kind: string, text: string): Promise<Answers>
  /** Begins a call that something else publishes (a script of the store): the message is `head`, a line break, and the text. */
  begin(kind: string): { readonly id: number; readonly head: string }
  /** Awaits the answers to a begun call; `nodes` is the number that the message reached, this node included. */
  collect(id: number, nodes: number): Promise<Answers>
}

interface CallsOptions {
  readonly bus: Bus
  readonly clock: Pick<Clock, 'monotonic'>
  readonly onFault: OnFault
  /** Called once per call with missing answers, with the instances that did answer. */
  readonly onMissing?: (answered: ReadonlySet<string>) => void
  /** Called with each message of another node. */
  readonly onHeard?: (instance: string) => void
}

/** Time to answer. */
const ANSWER_MS = 500
const TICK_MS = 25

const ANSWERS = 'answers'

interface PendingCall {
  readonly texts: string[]
  readonly answered: Set<string>
  readonly endsAt: number
  /** Includes the echo at this node. */
  arrived: number
  /** Undefined until it is known how many nodes the message reached. */
  expected: number | undefined
  done: ((answers: Answers) => void) | undefined
}

export function createCalls({
  bus,
  clock,
  onFault,
  onMissing = () => {},
  onHeard = () => {},
}: CallsOptions): Calls {
  const { instance } = bus
  const kinds = new Map<string, AnswerCall>()
  /** Oldest first. */
  const pending = new Map<number, PendingCall>()
  /** Answers of this turn, by the node that asked. */
  const outbox = new Map<string, (readonly [id: number, text: string])[]>()
  let last = 0

  const finish = (id: number, call: PendingCall): void => {
    pending.delete(id)
    const { texts, expected = 0, arrived, answered, done } = call
    const missing = Math.max(0, expected - arrived)
    if (missing > 0) onMissing(answered)
    done?.({ texts, missing })
  }

  const settle = (id: number, call: PendingCall): void => {
    if (call.expected !== undefined && call.arrived >= call.expected) finish(id, call)
  }

  const arrive = (id: number, from: string, text?: string): void => {
    const call = pending.get(id)
    if (call === undefined) return
    call.arrived++
    call.answered.add(from)
    if (text !== undefined) call.texts.push(text)
    settle(id, call)
  }

  const flush = (): void => {
    const all = [...outbox]
    outbox.clear()
    for (const [origin, answers] of all)
      bus.publish(nodeTopic(origin), `${ANSWERS} ${instance} 0\n${JSON.stringify(answers)}`).catch(() => {})
  }

  const reply = (origin: string, id: number, text: string): void => {
    if (outbox.size === 0) setImmediate(flush)
    const answers = outbox.get(origin)
    if (answers === undefined) outbox.set(origin, [[id, text]])
    else answers.push([id, text])
  }

  const answer = async (origin: string, id: number, given: Awaitable<string>): Promise<void> =>
    reply(origin, id, await given)

  const receive = (topic: BusTopic, message: string): void => {
    const end = message.indexOf('\n')
    const [kind = '', origin = '', number = ''] = message.slice(0, end).split(' ', 3)
    const id = Number(number)
    const text = message.slice(end + 1)
    if (origin === instance) {
      if (kind !== ANSWERS) arrive(id, instance)
      return
    }
    onHeard(origin)
    if (kind === ANSWERS) {
      for (const [answered, given] of JSON.parse(text) as (readonly [number, string])[])
        arrive(answered, origin, given)
      return
    }
    const given = kinds.get(kind)?.(text, topic) ?? ''
    if (typeof given === 'string') reply(origin, id, given)
    else answer(origin, id, given).catch(onFault)
  }

  const begin: Calls['begin'] = kind => {
    const id = ++last
    pending.set(id, {
      texts: [],
      answered: new Set(),
      endsAt: clock.monotonic() + ANSWER_MS,
      arrived: 0,
      expected: undefined,
      done: undefined,
    })
    return { id, head: `${kind} ${instance} ${id}` }
  }

  const collect: Calls['collect'] = (id, nodes) => {
    const call = pending.get(id)
    if (call === undefined) return Promise.resolve({ texts: [], missing: nodes })
    return new Promise(done => {
      call.expected = nodes
      call.done = done
      settle(id, call)
    })
  }

  const ticks = every(TICK_MS, () => {
    const now = clock.monotonic()
    for (const [id, call] of pending) {
      if (call.endsAt > now) return
      finish(id, call)
    }
  })

  bus.listen(receive)
  void bus.join(ALL_NODES)
  void bus.join(nodeTopic(instance))

  return {
    on: (kind, given) => void kinds.set(kind, given),
    begin,
    collect,
    ask: async (topic, kind, text) => {
      const { id, head } = begin(kind)
      try {
        return await collect(id, await bus.publish(topic, `${head}\n${text}`))
      } catch (error) {
        pending.delete(id)
        throw error
      }
    },
    [Symbol.dispose]: () => ticks[Symbol.dispose](),
  }
}
