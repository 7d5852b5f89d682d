import { ALL_NODES, type BusTopic } from '../../bus/bus.ts'
import type { Attendance, Calls } from './calls.ts'
import type { Members } from './members.ts'
import { createQuestion } from './question.ts'

interface AttendanceOptions {
  readonly calls: Pick<Calls, 'on' | 'ask'>
  /** Name of this node on the bus. */
  readonly instance: string
  readonly members: Pick<Members, 'others' | 'silent'>
  readonly isJoined: (topic: BusTopic) => boolean
}

interface JoinedTopics {
  readonly instance: string
  /** Places in the question. */
  readonly joined: readonly number[]
}

/** Topics in one question. */
const MAX_TOPICS = 1_000

/** Topics of one turn. */
interface Batch {
  readonly topics: BusTopic[]
  readonly answer: Promise<readonly JoinedTopics[] | undefined>
}

/**
 * Finds the nodes that a call must wait for while others are silent: they say which topics they joined. A silent node that
 * is only slow thus keeps its subscriptions, and delays one call.
 */
export function createAttendance({ calls, instance, members, isJoined }: AttendanceOptions): Attendance {
  const ask = createQuestion<readonly BusTopic[], JoinedTopics>(calls, 'attendance', topics => ({
    instance,
    joined: topics.flatMap((topic, n) => (isJoined(topic) ? [n] : [])),
  }))
  let batch: Batch | undefined

  /** The other nodes that are not silent. */
  const present = (): readonly string[] => {
    const silent = members.silent()
    return members
      .others()
      .filter(each => !silent.includes(each))
      .map(each => each.instance)
  }

  const askAll = async (topics: readonly BusTopic[]): Promise<readonly JoinedTopics[] | undefined> => {
    await new Promise(setImmediate)
    batch = undefined
    const { answers } = await ask(ALL_NODES, topics)
    const isWhole = present().every(each => answers.some(answer => answer.instance === each))
    return isWhole ? answers : undefined
  }

  const startBatch = (): Batch => {
    const topics: BusTopic[] = []
    return { topics, answer: askAll(topics) }
  }

  const awaitedIn = async (topic: BusTopic): Promise<readonly string[] | undefined> => {
    if (batch === undefined || batch.topics.length >= MAX_TOPICS) batch = startBatch()
    const place = batch.topics.push(topic) - 1
    const answers = await batch.answer
    const joined = answers?.filter(each => each.joined.includes(place)).map(each => each.instance)
    return joined && isJoined(topic) ? [...joined, instance] : joined
  }

  return {
    silent: () => members.silent().length,
    awaited: topic => (topic === ALL_NODES ? [...present(), instance] : awaitedIn(topic)),
  }
}
