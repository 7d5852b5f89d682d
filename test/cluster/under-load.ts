import type { NodeProcesses } from '../support/node-processes.ts'
import type { Random } from '../support/random.ts'
import {
  type Client,
  countAtRest,
  type Figures,
  holdsWithin,
  type Loss,
  type Sending,
  startClient,
  startSending,
  type Tries,
} from './load.ts'

const pinned = process.env['FAULT_SEED']
/** The seeds of a fault test; FAULT_SEED=n runs that one only. */
export const seedsOf = (...seeds: readonly number[]): readonly number[] =>
  pinned === undefined ? seeds : [Number(pinned)]

const SENDERS = 20
const USERS = 12
/** Accepted sends before and after a disturbance. */
const BEFORE = 100
const AFTER = 200
const PATIENCE_MS = 30_000

interface Load {
  readonly clients: readonly Client[]
  readonly sending: Sending
}

export interface Fault {
  /** Resolves when the cluster should work again. */
  readonly disturb: (load: Load) => Promise<void>
  /** When Redis lost data. */
  readonly loss?: Loss
  /** Sends per second. */
  readonly rate?: number
  /** As in SendingOptions. */
  readonly retryAfter?: readonly (keyof Tries)[]
  readonly answerMs?: number
  /** As in ClientOptions. */
  readonly silentMs?: number
}

interface LoadOptions extends Fault {
  /** Unique among the runs on one Redis: users and keys begin with it. FAULT_FIGURES=1 prints it with the figures. */
  readonly name: string
  readonly random: Random
}

export interface Outcome extends Load {
  readonly figures: Figures
  readonly tries: Readonly<Tries>
}

/**
 * Sends 200 notifications a second through all nodes to users with one or two clients on any node, a third of them without
 * cursors, disturbs the cluster, sends on, and counts.
 */
export async function playUnderLoad(
  { all }: Pick<NodeProcesses, 'all'>,
  { name, random, disturb, loss, rate = 200, silentMs = 4_000, ...options }: LoadOptions,
): Promise<Outcome> {
  const users = Array.from({ length: USERS }, (_, n) => `${name} ${n}`)
  const clients = users.flatMap((user, n) => {
    const options = { user, random, silentMs, resumes: n % 3 > 0 }
    return Array.from({ length: n % 4 === 1 ? 2 : 1 }, () => startClient(() => all, options))
  })
  const sending = startSending(() => all, { name, users, senders: SENDERS, rate, random, ...options })
  const untilAccepted = async (count: number): Promise<void> => {
    const enough = sending.tries.accepted + count
    if (!(await holdsWithin(PATIENCE_MS, () => sending.tries.accepted >= enough)))
      throw new Error(`sends are not accepted: ${JSON.stringify(sending.tries)}`)
  }
  try {
    await untilAccepted(BEFORE)
    await disturb({ clients, sending })
    await untilAccepted(AFTER)
    await sending.stop()
    const figures = await countAtRest(sending.attempts, clients, loss)
    if (process.env['FAULT_FIGURES'] !== undefined)
      console.log(`${name}: ${JSON.stringify({ ...figures, ...sending.tries })}`)
    return { figures, tries: sending.tries, clients, sending }
  } finally {
    for (const client of clients) client.stop()
    await sending.stop()
  }
}
