import { createClient } from './client.ts'
import type { Host, RedisAddress } from './url.ts'

/** Time limit for the Sentinels, which are asked all at once, milliseconds. */
const ANSWER_MS = 1_000

const WITHOUT_CREDENTIALS = { tls: false, db: 0 }

/** Asks one Sentinel; undefined if it does not answer or does not know the master. */
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
 * Returns the master that most answering Sentinels name: an isolated Sentinel may still name the old one. Rejects if
 * none answers. Connections to Sentinels close after the answer.
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
