import { type BusTopic, nodeTopic } from '../../bus/bus.ts'
import type { NameRange, NodesResult } from '../census.ts'
import type { Calls } from './calls.ts'
import { createQuestion } from './question.ts'

/** A name with its counts. */
export type Row = readonly [name: string, ...counts: number[]]

/** Rows of this node for a subject, such as the channels of a tenant, sorted by name. */
type ReadRows = (subject: string, range: NameRange) => Promise<readonly Row[]>

/** Visits the rows of all nodes in order, each name once with summed counts. Asks the nodes of the topic. */
export type VisitRows = (topic: BusTopic, subject: string, visit: (row: Row) => void) => Promise<NodesResult>

interface NodeListOptions {
  readonly calls: Pick<Calls, 'on' | 'ask'>
  readonly instance: string
  readonly kind: string
  readonly read: ReadRows
}

interface ListQuestion extends NameRange {
  readonly subject: string
}

interface ListPart {
  readonly instance: string
  readonly rows: readonly Row[]
}

/** Rows in the first message of each node: most lists end there. */
const FIRST_ROWS = 500
/** Bounds on the rows of later messages. A row has at most 300 bytes. */
const MIN_ROWS = 100
const MAX_ROWS = 2_000
/** Rows that the messages of all nodes hold together, as long as each has MIN_ROWS. */
const ROWS_AT_ONCE = 8_000
/** Rows merged in one turn of the event loop. */
const ROWS_PER_TURN = 1_000

const NO_ROW: Row = ['']

/** Reads the rows of one node. The next part is on its way while one is read. */
class RowReader {
  readonly #load: (after: string) => Promise<readonly Row[]>
  readonly #limit: number
  #rows: readonly Row[] = []
  #at = 0
  #next: Promise<readonly Row[]> | undefined

  /** `first` has FIRST_ROWS rows unless the list ends there; later parts have `limit`. */
  constructor(first: readonly Row[], limit: number, load: (after: string) => Promise<readonly Row[]>) {
    this.#load = load
    this.#limit = limit
    this.#fill(first, FIRST_ROWS)
  }

  get head(): Row | undefined {
    return this.#rows[this.#at]
  }

  /** Whether `head` waits for the next part. */
  get isWaiting(): boolean {
    return this.#at === this.#rows.length && this.#next !== undefined
  }

  /** Takes `head`. */
  take(): Row {
    return this.#rows[this.#at++] ?? NO_ROW
  }

  async refill(): Promise<void> {
    this.#fill((await this.#next) ?? [], this.#limit)
  }

  #fill(rows: readonly Row[], limit: number): void {
    this.#rows = rows
    this.#at = 0
    const last = rows.at(-1)
    this.#next = last === undefined || rows.length < limit ? undefined : this.#load(last[0])
  }
}

/** The readers whose next row has the first name; empty at the end. */
function firstOf(readers: readonly RowReader[]): readonly RowReader[] {
  let name: string | undefined
  let found: RowReader[] = []
  for (const reader of readers) {
    const head = reader.head?.[0]
    if (head === undefined) continue
    if (name === undefined || head < name) {
      name = head
      found = [reader]
    } else if (head === name) found.push(reader)
  }
  return found
}

/** Adds counts by place: `['a', 1, 2]` and `['a', 3, 4]` are `['a', 4, 6]`. */
function sumOf([first = NO_ROW, ...others]: readonly Row[]): Row {
  if (others.length === 0) return first
  const [name, ...counts] = first
  return [name, ...counts.map((count, n) => others.reduce((sum, row) => sum + Number(row[n + 1]), count))]
}

async function merge(readers: readonly RowReader[], visit: (row: Row) => void): Promise<void> {
  for (let seen = 1; ; seen++) {
    for (const reader of readers) if (reader.isWaiting) await reader.refill()
    const first = firstOf(readers)
    if (first.length === 0) return
    visit(sumOf(first.map(reader => reader.take())))
    if (seen % ROWS_PER_TURN === 0) await new Promise(setImmediate)
  }
}

/** A list that all nodes have a part of. Nodes send it in bounded messages, and no node holds all of it. */
export function createNodeList({ calls, instance, kind, read }: NodeListOptions): VisitRows {
  const ask = createQuestion<ListQuestion, ListPart>(calls, kind, async ({ subject, after, limit }) => ({
    instance,
    rows: await read(subject, { after, limit }),
  }))

  return async (topic, subject, visit) => {
    const [own, { answers, partial }] = await Promise.all([
      read(subject, { limit: FIRST_ROWS }),
      ask(topic, { subject, limit: FIRST_ROWS }),
    ])
    let isPartial = partial
    const share = Math.floor(ROWS_AT_ONCE / (answers.length + 1))
    const limit = Math.min(MAX_ROWS, Math.max(MIN_ROWS, share))
    const readers = answers.map(
      part =>
        new RowReader(part.rows, limit, async after => {
          const {
            answers: [next],
          } = await ask(nodeTopic(part.instance), { subject, after, limit })
          if (next === undefined) isPartial = true
          return next?.rows ?? []
        }),
    )
    readers.push(new RowReader(own, limit, after => read(subject, { after, limit })))
    await merge(readers, visit)
    return { partial: isPartial }
  }
}
