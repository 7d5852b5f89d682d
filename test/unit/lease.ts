import { LEASE_MS, type LeaseAnswer } from '../../src/trigger/lease/lease.ts'
import { createTurn } from '../../src/trigger/lease/turn.ts'
import { createRandom, type Random } from '../support/random.ts'

const STEP_MS = 10
const ASK_MS = 250
const FAULTS_MS = 20_000
const CALM_MS = 4_000
const TAKE_OVER_MS = 3_000
/** Longest time to the first answer of the lease. */
const SETTLED_MS = 2 * ASK_MS

/** The lease as `ask.lua` and `release.lua` keep it. */
function createRedis() {
  let holder: string | undefined
  let ends = 0
  let since = ''
  return {
    ask: (node: string, now: number): Omit<LeaseAnswer, 'askedAt'> => {
      const left = ends - now
      if (holder !== undefined && holder !== node && left > 0)
        return { type: 'held', leftMs: left, since: '' }
      const taken = ends === 0 ? 'released' : 'taken'
      const type = holder === undefined ? 'first' : holder === node ? 'kept' : taken
      if (type !== 'kept') since = String(now)
      holder = node
      ends = now + LEASE_MS
      return { type, leftMs: 0, since }
    },
    release: (node: string): void => {
      if (holder === node) ends = 0
    },
    flush: (): void => {
      holder = undefined
    },
  }
}

/** Something that reaches a node over one of its connections, in order. */
interface Arrival {
  readonly at: number
  run(): void
}

function createNode(name: string, { now, random, redis, dispatch }: World) {
  let subscription: Arrival[] = []
  const answers: Arrival[] = []
  let frozenUntil = 0
  let cutUntil = 0
  let asksAt = random.whole(0, ASK_MS)
  let isAsking = false
  let isDead = false
  const delay = (): number => random.whole(0, 60)

  const turn = createTurn({
    handle: message => dispatch(Number(message.toString())),
    onLost: () => {},
    fence: () => {
      const { promise, resolve } = Promise.withResolvers<void>()
      subscription.push({ at: now() + delay(), run: resolve })
      return promise
    },
    onChange: () => {},
    clock: { monotonic: now },
  })

  turn.subscribed()

  const ask = (): void => {
    isAsking = true
    const askedAt = now()
    const isLost = now() < cutUntil
    const answer = isLost ? undefined : redis.ask(name, now())
    const isAnswerLost = random.chance(0.02)
    answers.push({
      at: now() + delay(),
      run: () => {
        isAsking = false
        if (answer !== undefined && !isAnswerLost) turn.answered({ ...answer, askedAt })
      },
    })
  }

  return {
    hear: (n: number): void => {
      if (!isDead)
        subscription.push({
          at: now() + delay(),
          run: () => turn.receive(Buffer.from(`${n}`), Buffer.alloc(1)),
        })
    },
    freeze: (ms: number): void => {
      frozenUntil = now() + ms
    },
    cut: (ms: number): void => {
      cutUntil = now() + ms
    },
    drop: (): void => {
      subscription = []
      const mayRelease = turn.unsubscribed()
      turn.subscribed()
      if (mayRelease && now() >= cutUntil) redis.release(name)
    },
    kill: (): void => {
      isDead = true
    },
    drain: (): void => {
      isDead = true
      if (turn.unsubscribed()) redis.release(name)
    },
    /** Handles a part of what has arrived, in random order of the connections. */
    step: async (): Promise<void> => {
      if (isDead || now() < frozenUntil) return
      for (let handled = random.whole(1, 4); handled > 0; handled--) {
        const due = [subscription, answers].filter(([first]) => first !== undefined && first.at <= now())
        const [one, other] = due
        if (one === undefined) break
        const queue = other !== undefined && random.chance(0.5) ? other : one
        queue.shift()?.run()
        await Promise.resolve()
        await Promise.resolve()
      }
      if (!isAsking && now() >= asksAt) {
        asksAt = now() + ASK_MS
        ask()
      }
    },
    get isDead() {
      return isDead
    },
  }
}

interface World {
  readonly now: () => number
  readonly random: Random
  readonly redis: ReturnType<typeof createRedis>
  readonly dispatch: (n: number) => void
}

/** Runs three nodes through random faults, and then without any. */
export async function simulate(seed: number) {
  const random = createRandom(seed)
  const redis = createRedis()
  const counts = new Map<number, number>()
  let now = 100_000
  let n = 0
  const dispatch = (message: number): void => void counts.set(message, (counts.get(message) ?? 0) + 1)
  const world: World = { now: () => now, random, redis, dispatch }
  const make = (name: string) => createNode(name, world)
  let made = 0
  let startsFrom = 0
  let startedAt = now
  let nodes = Array.from({ length: 3 }, () => make(`n${made++}`))
  const start = now

  const disturb = (): void => {
    const node = random.pick(nodes as [(typeof nodes)[0], ...typeof nodes])
    const fault = random.whole(0, 5)
    if (fault === 0) node.freeze(random.whole(100, 8_000))
    else if (fault === 1) node.cut(random.whole(100, 5_000))
    else if (fault === 2) node.drop()
    else if (fault === 3 && now > startsFrom) node.kill()
    else if (fault === 4 && now > startsFrom) node.drain()
    else if (fault === 5 && now > startedAt + SETTLED_MS && random.chance(0.3)) {
      redis.flush()
      // A node that starts before the others have asked again is the first one for all it knows.
      startsFrom = now + LEASE_MS
    }
    if (node.isDead) startedAt = now
    nodes = nodes.map(each => (each.isDead ? make(`n${made++}`) : each))
  }

  let published = 0
  while (now < start + FAULTS_MS + TAKE_OVER_MS + CALM_MS + 8_000) {
    now += STEP_MS
    const isCalm = now > start + FAULTS_MS
    if (!isCalm && random.chance(0.02)) disturb()
    if (n % 5 === 0) {
      published++
      for (const node of nodes) node.hear(published)
    }
    n++
    for (const node of nodes) await node.step()
  }
  const twice = [...counts.values()].filter(count => count > 1).length
  // The last messages are still on their way.
  const calm = Array.from({ length: CALM_MS / STEP_MS / 5 - 10 }, (_, at) => published - 10 - at)
  return { dispatched: counts.size, twice, isAlive: calm.every(message => counts.has(message)) }
}
