import { redisBus } from '../../src/bus/redis.ts'
import { loadConfig } from '../../src/config/config.ts'
import { createCalls } from '../../src/dispatch/cluster/calls.ts'
import { createMembers, type Members } from '../../src/dispatch/cluster/members.ts'
import { systemClock } from '../../src/lib/time/clock.ts'
import type { TestRedis } from '../support/redis.ts'

/** Members of one cluster in this process, each with its own connections to Redis. */
export interface BenchMembers extends AsyncDisposable {
  /** Messages that all of them published and received. */
  readonly messages: { readonly in: number; readonly out: number }
  /** Smallest number of other members that one of them knows. */
  known(): number
}

export function startMembers(redis: TestRedis, count: number): BenchMembers {
  const { config } = loadConfig({ REDIS_URL: redis.url, BUS_URL: 'redis:' })
  const { busUrl } = config
  if (busUrl.kind === 'none') throw new Error('BUS_URL is set')
  const messages = { in: 0, out: 0 }
  const ignore = (): void => {}

  const startMember = (n: number) => {
    const bus = redisBus({
      address: busUrl.address,
      settings: config,
      clock: systemClock,
      messages,
      onBack: ignore,
      onState: ignore,
      onEvictRefused: ignore,
      onFault: console.error,
    })
    const calls = createCalls({
      bus,
      onFault: console.error,
      onMessage: instance => members.noteMessage(instance),
    })
    const node = { id: `n${n}`, version: '1.0.0', since: new Date().toISOString() }
    const members: Members = createMembers({ node, bus, calls, onSilent: ignore })
    return { bus, calls, members }
  }
  const all = Array.from({ length: count }, (_, n) => startMember(n))
  return {
    messages,
    known: () => Math.min(...all.map(({ members }) => members.others().length)),
    [Symbol.asyncDispose]: async () => {
      for (const { bus, calls, members } of all) {
        members[Symbol.dispose]()
        calls[Symbol.dispose]()
        await bus[Symbol.asyncDispose]()
      }
    },
  }
}
