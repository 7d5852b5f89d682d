import { type Topic, tenantOf, tenantTopic, userOf, userTopic } from '../../notification/topic.ts'
import { type Answers, addUp, NO_ANSWERS } from './answers.ts'
import type { Calls } from './calls.ts'

/** Names of users in one message. */
const MAX_USERS = 1_000

/** The answer about one of the users, by its place in the question. */
type Found<A> = readonly [place: number, answer: A]

/** The answers of all nodes. */
interface UserAnswers<A> extends Answers {
  /** All answers about each user, in order. */
  readonly about: readonly (readonly A[])[]
}

/**
 * Asks the nodes that have connections of these users. One user is asked for on its own topic, several on that of their
 * tenant.
 */
export type AskAboutUsers<A> = (owners: readonly Topic[], text: string) => Promise<UserAnswers<A>>

/** `answer` tells about each owner, or undefined if there is nothing to tell. `text` goes along unread. */
export function createUserCalls<A>(
  calls: Pick<Calls, 'on' | 'ask'>,
  kind: string,
  answer: (owners: readonly Topic[], text: string) => Promise<readonly (A | undefined)[]>,
): AskAboutUsers<A> {
  calls.on(kind, async (message, topic) => {
    const end = message.indexOf('\n')
    const users = JSON.parse(message.slice(0, end)) as readonly string[]
    const tenant = tenantOf(topic as Topic)
    const owners = users.map(user => userTopic(tenant, user))
    const answers = await answer(owners, message.slice(end + 1))
    return JSON.stringify(answers.flatMap((each, n) => (each === undefined ? [] : [[n, each]])))
  })

  const askSome = async (owners: readonly Topic[], text: string): Promise<UserAnswers<A>> => {
    const about = owners.map((): A[] => [])
    const [first] = owners
    if (first === undefined) return { ...NO_ANSWERS, about }
    const topic = owners.length === 1 ? first : tenantTopic(tenantOf(first))
    const answers = await calls.ask(topic, kind, `${JSON.stringify(owners.map(userOf))}\n${text}`)
    // A node of another version answers nothing.
    for (const each of answers.texts.filter(given => given !== ''))
      for (const [n, answer] of JSON.parse(each) as readonly Found<A>[]) about[n]?.push(answer)
    return { ...answers, about }
  }

  return async (owners, text) => {
    const portions = Array.from({ length: Math.ceil(owners.length / MAX_USERS) }, (_, n) =>
      owners.slice(n * MAX_USERS, (n + 1) * MAX_USERS),
    )
    // Sent at once, so that the order of calls is the order on every node.
    const found = await Promise.all(portions.map(portion => askSome(portion, text)))
    return { ...addUp(found), about: found.flatMap(({ about }) => about) }
  }
}
