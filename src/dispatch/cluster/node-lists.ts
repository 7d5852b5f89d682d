import { type BusTopic, nodeTopic } from '../../bus/bus.ts'
import type { Awaitable } from '../../lib/flow/awaitable.ts'
import type { NameRange, NodesResult } from '../census.ts'
import type { Calls } from './calls.ts'
import { createQuestion } from './question.ts'

/** Sorted names, and for each the same number of counts: `{ names: ['a', 'b'], counts: [1, 2, 3, 4] }`. */
export interface ListPart {
  readonly names: readonly string[]
  readonly counts: readonly number[]
}

/** Reads the list of this node for a subject, such as the channels of a tenant. */
type ReadPart = (subject: string, range: NameRange) => Awaitable<ListPart>

/** Visits the names of all nodes in order, each once with summed counts. Asks the nodes of the topic. */
export type VisitNames = (
  topic: BusTopic,
  subject: string,
  range: NameRange,
  visit: (name: string, counts: readonly number[]) => void,
) => Promise<NodesResult>

interface NodeListOptions {
  readonly calls: Pick<Calls, 'on' | 'ask'>
  readonly instance: string
  readonly kind: string
  readonly read: ReadPart
}

interface ListQuestion extends NameRange {
  readonly subject: string
}

interface NodePart extends ListPart {
  readonly instance: string
}

/** Names in the first message of each node: most lists end there. */
const FIRST_NAMES = 500
/** Bounds on the names of later messages. A name has at most 256 bytes. */
const MIN_NAMES = 100
const MAX_NAMES = 2_000
/** Names that the messages of all nodes hold together, as long as each has MIN_NAMES. */
const NAMES_AT_ONCE = 8_000
/** Names merged in one turn of the event loop. */
const NAMES_PER_TURN = 1_000

const NO_COUNTS: readonly number[] = []
const NOTHING: ListPart = { names: [], counts: [] }

/** Reads the list of one node. The next part is on its way while one is read. */
class ListReader {
  readonly #load: (after: string) => Promise<ListPart>
  readonly #limit: number
  #part = NOTHING
  #at = 0
  /** Counts per name. */
  #width = 0
  #next: Promise<ListPart> | undefined

  /** `first` has FIRST_NAMES names unless the list ends there; later parts have `limit`. */
  constructor(first: ListPart, limit: number, load: (after: string) => Promise<ListPart>) {
    this.#load = load
    this.#limit = limit
    this.#fill(first, FIRST_NAMES)
  }

  get head(): string | undefined {
    return this.#part.names[this.#at]
  }

  /** Whether `head` waits for the next part. */
  get isWaiting(): boolean {
    return this.#next !== undefined && this.#at === this.#part.names.length
  }

  async refill(): Promise<void> {
    this.#fill((await this.#next) ?? NOTHING, this.#limit)
  }

  /** Passes `head`. Returns its counts added to those of the same name on other nodes. */
  take(others: readonly number[] | undefined): readonly number[] {
    const from = this.#at * this.#width
    this.#at++
    if (this.#width === 0) return NO_COUNTS
    const own = this.#part.counts.slice(from, from + this.#width)
    return others === undefined ? own : own.map((count, n) => count + (others[n] ?? 0))
  }

  #fill(part: ListPart, limit: number): void {
    const { names, counts } = part
    this.#part = part
    this.#at = 0
    this.#width = counts.length / (names.length || 1)
    const last = names.at(-1)
    this.#next = last === undefined || names.length < limit ? undefined : this.#load(last)
  }
}

/** Merges sorted lists; stops after `limit` names. */
async function merge(
  readers: readonly ListReader[],
  limit: number,
  visit: (name: string, counts: readonly number[]) => void,
): Promise<void> {
  for (let seen = 1; seen <= limit; seen++) {
    let first: string | undefined
    for (const reader of readers) {
      if (reader.isWaiting) await reader.refill()
      const { head } = reader
      if (head !== undefined && (first === undefined || head < first)) first = head
    }
    if (first === undefined) return
    let counts: readonly number[] | undefined
    for (const reader of readers) if (reader.head === first) counts = reader.take(counts)
    visit(first, counts ?? [])
    if (seen % NAMES_PER_TURN === 0) await new Promise(setImmediate)
  }
}

/** A list that all nodes have a part of. Nodes send it in bounded messages, and no node holds all of it. */
export function createNodeList({ calls, instance, kind, read }: NodeListOptions): VisitNames {
  const ask = createQuestion<ListQuestion, NodePart>(calls, kind, async ({ subject, after, limit }) => ({
    instance,
    ...(await read(subject, { after, limit })),
  }))

  return async (topic, subject, { after, limit = Number.POSITIVE_INFINITY }, visit) => {
    const first = { after, limit: FIRST_NAMES }
    const [own, { answers, partial }] = await Promise.all([
      read(subject, first),
      ask(topic, { subject, ...first }),
    ])
    let isPartial = partial
    const share = Math.floor(NAMES_AT_ONCE / (answers.length + 1))
    const size = Math.min(MAX_NAMES, Math.max(MIN_NAMES, share))
    const readers = answers.map(
      part =>
        new ListReader(part, size, async last => {
          const {
            answers: [next],
          } = await ask(nodeTopic(part.instance), { subject, after: last, limit: size })
          if (next === undefined) isPartial = true
          return next ?? NOTHING
        }),
    )
    readers.push(new ListReader(own, size, async last => read(subject, { after: last, limit: size })))
    await merge(readers, limit, visit)
    return { partial: isPartial }
  }
}
