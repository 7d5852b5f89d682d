import { describe, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readAll } from '../chaos/crash.ts'
import { createRandom } from '../support/random.ts'
import { startRedis } from '../support/redis.ts'
import { deadLettersOf, GROUP, STREAM, untilRead } from '../support/stream.ts'
import { countFaults, follow, NO_FAULT, numbersOf, startNode, startProducer } from './triggers.ts'

/** TRIGGER_SEED=n runs that seed only. */
const pinned = process.env['TRIGGER_SEED']
const seeds = pinned === undefined ? [1, 2] : [Number(pinned)]
const PER_SECOND = 200
const USERS = 10
const KILLS = 6

async function sqliteFile() {
  const directory = await mkdtemp(join(tmpdir(), 'ara-stream-'))
  return {
    url: `sqlite:${join(directory, 'store.db')}`,
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  }
}

describe('Entries of a stream at 200 a second, while the processes that read them are killed', () => {
  test.each(seeds)(
    'are in the logs once: two nodes with a Redis store, 6 kills (TRIGGER_SEED=%d)',
    async seed => {
      const random = createRandom(seed)
      await using redis = await startRedis()
      const client = redis.client()
      const shared = { STORE_URL: redis.url, REDIS_URL: redis.url, REDIS_STREAM: STREAM, BUS_URL: redis.url }
      await using watcher = await startNode({ ...shared, NODE_ID: 'watcher', REDIS_STREAM: '' })
      const followers = await Promise.all(['u0', 'u1'].map(user => follow(watcher, user)))
      const nodes = await Promise.all([0, 1].map(n => startNode({ ...shared, NODE_ID: `n${n}` })))
      await using stack = new AsyncDisposableStack()
      const producer = startProducer(client, { perSecond: PER_SECOND, users: USERS, random })
      for (let kill = 0; kill < KILLS; kill++) {
        await Bun.sleep(random.whole(100, 600))
        const n = random.whole(0, 1)
        const node = nodes[n]
        if (node === undefined) throw new Error('no such node')
        node.signal('SIGKILL')
        await node.ended
        // The last kill is final: another node takes over what the dead one has read.
        if (kill < KILLS - 1) nodes[n] = await startNode({ ...shared, NODE_ID: `n${n}` })
        else {
          const ids = (await client.call('XPENDING', STREAM, GROUP, '-', '+', 1_000, `n${n}`)) as string[][]
          const own = ids.flatMap(([id = '']) => id)
          if (own.length > 0)
            await client.call('XCLAIM', STREAM, GROUP, `n${n}`, 0, ...own, 'IDLE', 31_000, 'JUSTID')
        }
      }
      for (const node of nodes) stack.use(node)
      await producer.stop()
      await untilRead(client, 30_000)

      for (const [user, sent] of producer.sent)
        expect(countFaults(sent, numbersOf(await readAll(watcher, user)))).toEqual(NO_FAULT)
      for (const [n, follower] of followers.entries()) {
        const got = await follower.end()
        expect(countFaults(producer.sent.get(`u${n}`) ?? [], numbersOf(got))).toEqual(NO_FAULT)
        expect(got.map(({ cursor }) => Number(cursor.split(':')[1]))).toEqual(got.map((_, at) => at + 1))
      }
      expect(await deadLettersOf(client)).toEqual([])
    },
    90_000,
  )

  test('are in the logs once: one node with a file, 5 kills', async () => {
    const random = createRandom(7)
    await using redis = await startRedis()
    await using file = await sqliteFile()
    const client = redis.client()
    const env = { STORE_URL: file.url, REDIS_URL: redis.url, REDIS_STREAM: STREAM, NODE_ID: 'one' }
    let node = await startNode(env)
    const producer = startProducer(client, { perSecond: PER_SECOND, users: USERS, random })
    for (let kill = 0; kill < 5; kill++) {
      await Bun.sleep(random.whole(50, 500))
      node.signal('SIGKILL')
      await node.ended
      node = await startNode(env)
    }
    await using last = node
    await producer.stop()
    await untilRead(client, 30_000)
    for (const [user, sent] of producer.sent) {
      const got = numbersOf(await readAll(last, user))
      expect(countFaults(sent, got)).toEqual(NO_FAULT)
      expect(got).toEqual([...sent])
    }
    expect(await deadLettersOf(client)).toEqual([])
  }, 90_000)
})
