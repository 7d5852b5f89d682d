import { expect, test } from 'bun:test'
import { ReplyError } from 'ioredis'
import { StoreAway } from '../../src/errors.ts'
import { userTopic } from '../../src/notification/topic.ts'
import { createAppend } from '../../src/store/redis/append.ts'
import type { Batches } from '../../src/store/redis/batches.ts'
import type { LiveConnection, Reply } from '../../src/store/redis/server.ts'
import { draft, LIMITS } from '../contract/store.contract.ts'

const LATE = 'LATE the deadline of the append has passed'
const CONNECTION: LiveConnection = {
  life: 'l',
  now: () => 0,
  time: () => '',
  mayEvict: () => false,
  send: () => Promise.reject(new Error('not used')),
}

/** A Redis that carries out this number of appends before the deadline of each group. */
function start(perGroup: number) {
  const appended: string[] = []
  let groups = 0
  const run: Batches['run'] = async ({ build, takesLate }) => {
    groups++
    let done = 0
    const replies = build(CONNECTION, 1_000, []).map(([name, owner]): Reply => {
      if (name !== 'append') return 1
      if (done === perGroup) return new ReplyError(LATE)
      done++
      appended.push(String(owner))
      return ['e', appended.length, 0, 0]
    })
    if (!takesLate && replies.some(reply => reply instanceof Error)) throw new StoreAway(LATE)
    return replies
  }
  const append = createAppend({
    commits: { run, [Symbol.dispose]: () => {} },
    storedSizes: { isLimited: false } as Parameters<typeof createAppend>[0]['storedSizes'],
    scripts: {
      command: (_, owner) => ['append', owner],
      answer: (_, reply) => ({ more: false, answer: reply as readonly unknown[] }),
      ask: () => Promise.reject(new Error('not used')),
    },
    notes: { take: () => undefined } as unknown as Parameters<typeof createAppend>[0]['notes'],
    pace: { turn: () => undefined, cleaned: () => {} },
    idleLogs: { note: () => [], forget: async () => false },
    limits: LIMITS,
    pushing: undefined,
  })
  const appendTo = (users: number) =>
    append(Array.from({ length: users }, (_, n) => draft('id', { owner: userTopic('t', `u-${n}`) })))
  return { appended, appendTo, groups: () => groups }
}

test('a large call to a slow Redis is appended in parts, each entry once, with the place of each', async () => {
  const { appended, appendTo } = start(150)
  const results = await appendTo(500)
  expect(new Set(appended).size).toBe(500)
  expect(appended).toHaveLength(500)
  expect(results.map(({ cursor }) => appended[cursor.seq - 1])).toEqual(
    Array.from({ length: 500 }, (_, n) => userTopic('t', `u-${n}`)),
  )
})

test('a Redis too slow for any part ends a large call, and a small one is tried once', async () => {
  const slow = start(0)
  expect(slow.appendTo(500)).rejects.toBeInstanceOf(StoreAway)
  const small = start(0)
  expect(small.appendTo(3)).rejects.toBeInstanceOf(StoreAway)
  await Bun.sleep(0)
  expect(small.groups()).toBe(1)
})
