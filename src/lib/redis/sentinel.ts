import { createClient } from './client.ts'
import type { Host, RedisAddress } from './url.ts'

/** How long a Sentinel may take to answer, milliseconds: they are asked all at once. */
const ANSWER_MS = 1_000

const WITHOUT_CREDENTIALS = { tls: false, db: 0 }

/** Undefined when it does not answer, or knows no such master. */
async function ask(sentinel: Host, master: string): Promise<Host | undefined> {
  const client = createClient(sentinel, WITHOUT_CREDENTIALS)
  const timer = setTimeout(() => client.disconnect(), ANSWER_MS)
  try {
    await client.connect()
    const answer = await client.call('SENTINEL', 'get-master-addr-by-name', master)
    return Array.isArray(answer) ? { host: String(answer[0]), port: Number(answer[1]) } : undefined
  } catch {
    return undefined
  } finally {
    clearTimeout(timer)
    client.disconnect()
  }
}

/**
 * The master as most of those Sentinels name it who answer: one that was cut off may still name the former. Rejects when
 * none answers. Connections to Sentinels live as long as the question.
 */
export async function findMaster({ hosts, master = '' }: RedisAddress): Promise<Host> {
  const answers = (await Promise.all(hosts.map(sentinel => ask(sentinel, master)))).filter(
    host => host !== undefined,
  )
  const [most] = [...Map.groupBy(answers, ({ host, port }) => `${host} ${port}`).values()].sort(
    (a, b) => b.length - a.length,
  )
  const [found] = most ?? []
  if (found === undefined) throw new Error(`no Sentinel names a master called ${master}`)
  return found
}
