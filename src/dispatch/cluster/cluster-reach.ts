import { storeUnavailable } from '../../errors.ts'
import { whenReady } from '../../lib/flow/awaitable.ts'
import type { Clock } from '../../lib/time/clock.ts'
import type { Span } from '../../lib/trace-context.ts'
import type { Cursor } from '../../notification/cursor.ts'
import { type Topic, tenantOf, tenantTopic } from '../../notification/topic.ts'
import type { Tracing } from '../../observe/tracing.ts'
import type { CloseReason } from '../../protocol/close-codes.ts'
import type { Census } from '../census.ts'
import type { CrowdAddress, LoggedEntry, Reach, RepeatedEntry, UserReach, WriteCount } from '../reach.ts'
import { createAckElsewhere } from './ack-elsewhere.ts'
import { addUp, NO_ANSWERS } from './answers.ts'
import type { Calls } from './calls.ts'
import { tracePublish } from './publish-span.ts'
import { receivePushes } from './pushes.ts'
import { createQuestion } from './question.ts'
import { reachText, sumReach } from './reach-text.ts'
import { createUserCalls } from './user-calls.ts'

interface ClusterReachOptions {
  readonly local: Reach
  readonly census: Census
  readonly countElsewhere: Reach['countElsewhere']
  readonly calls: Calls
  /** Name of this node on the bus. */
  readonly instance: string
  /** The log of this owner has grown: its connections here read. */
  readonly behind: (owner: Topic, head: Cursor) => void
  readonly clock: Pick<Clock, 'monotonic'>
  /** Absent when traces are off. */
  readonly tracing: Tracing | undefined
}

/** A message for the one user whose topic it is published on. */
const WRITE_ONE = 'write-one'

/** Topics of a crowd with the facts about its message; the body follows on the next line. */
interface CrowdHead extends CrowdAddress {
  readonly id: string
  readonly elapsedMs: number
}

const sum = (counts: readonly WriteCount[]): WriteCount => ({
  delivered: counts.reduce((total, { delivered }) => total + delivered, 0),
  failed: counts.reduce((total, { failed }) => total + failed, 0),
})

/** Splits a message into its first line, which is JSON, and the rest. */
function readHead<T>(text: string): readonly [head: T, rest: string] {
  const end = text.indexOf('\n')
  return [JSON.parse(text.slice(0, end)) as T, text.slice(end + 1)]
}

/**
 * Reaches the connections of all nodes. Those of this node are served at once, without the bus, except by entries that the
 * store pushes: they keep the order of the log.
 */
export function createClusterReach({
  local,
  census,
  countElsewhere,
  calls,
  instance,
  behind,
  clock,
  tracing,
}: ClusterReachOptions): Reach {
  const trace = tracePublish(tracing)
  receivePushes({ calls, instance, offer: local.offer, behind, clock })

  const elapsedMs = (acceptedAt: number): number => Math.round((clock.monotonic() - acceptedAt) * 10) / 10
  const headOf = (id: string, acceptedAt: number): string =>
    JSON.stringify({ id, elapsedMs: elapsedMs(acceptedAt) })

  const writeElsewhere = createUserCalls<UserReach>(calls, 'write', async (owners, text) => {
    const [head, body] = readHead<Pick<CrowdHead, 'id' | 'elapsedMs'>>(text)
    const written = await local.write(owners, {
      id: head.id,
      body,
      acceptedAt: clock.monotonic() - head.elapsedMs,
    })
    return written.map(each => (each.delivered + each.failed > 0 ? each : undefined))
  })

  calls.on(WRITE_ONE, (text, topic) => {
    const afterId = text.indexOf(' ')
    const end = text.indexOf('\n')
    const written = local.writeOne(topic as Topic, {
      id: text.slice(0, afterId),
      body: text.slice(end + 1),
      acceptedAt: clock.monotonic() - Number(text.slice(afterId + 1, end)),
    })
    return whenReady(written, reachText)
  })

  const askConnected = createUserCalls<true>(calls, 'connected', async owners =>
    (await local.areConnected(owners)).map(isConnected => isConnected || undefined),
  )

  calls.on('crowd', async text => {
    const [{ topics, audience, id, elapsedMs }, body] = readHead<CrowdHead>(text)
    const acceptedAt = clock.monotonic() - elapsedMs
    const { delivered, failed } = await local.publish({ topics, audience }, { id, body, acceptedAt })
    return JSON.stringify({ delivered, failed })
  })

  const redeliverElsewhere = createQuestion<RepeatedEntry, WriteCount>(calls, 'redeliver', local.redeliver)

  calls.on('close', async (text, topic) => {
    const { reason, words } = JSON.parse(text) as { readonly reason: CloseReason; readonly words?: string }
    return String(await local.close(topic as Topic, reason, words))
  })

  const collect = async (
    entries: readonly LoggedEntry[],
    body: string,
    acceptedAt: number,
    span: Span | undefined,
  ): Promise<readonly UserReach[]> => {
    const collected = entries.map(({ owner, push }) =>
      push === undefined ? NO_ANSWERS : calls.collect(push.id, owner, push.nodes),
    )
    const all = Promise.all(collected).then(answers => ({ ...addUp(answers), answers }))
    const { answers } = await trace(span, all)
    // A connection here may have joined after the push, or the push was lost.
    const unanswered = entries.filter((_, n) => answers[n]?.own === undefined)
    const here = (await local.offer(unanswered, body, acceptedAt)).values()
    return answers.map(each => sumReach(each, each.own === undefined ? here.next().value : undefined))
  }

  return {
    ...local,
    census,
    countElsewhere,
    offer: (entries, body, acceptedAt, span) => {
      const isPushed = entries.some(({ push }) => push !== undefined)
      return isPushed ? collect(entries, body, acceptedAt, span) : local.offer(entries, body, acceptedAt)
    },
    writeOne: (owner, message, span) => {
      const { id, body, acceptedAt } = message
      const here = local.writeOne(owner, message)
      const asked = calls.ask(owner, WRITE_ONE, `${id} ${elapsedMs(acceptedAt)}\n${body}`)
      return whenReady(trace(span, asked), answers => whenReady(here, reach => sumReach(answers, reach)))
    },
    write: async (owners, message, span) => {
      const { id, body, acceptedAt } = message
      const [here, { about }] = await Promise.all([
        local.write(owners, message),
        trace(span, writeElsewhere(owners, `${headOf(id, acceptedAt)}\n${body}`)),
      ])
      return here.map((reach, n) => {
        const all = [reach, ...(about[n] ?? [])]
        return { ...sum(all), has: all.some(({ has }) => has) }
      })
    },
    publish: async (crowd, message, span) => {
      const { id, body, acceptedAt } = message
      const { topics, audience } = crowd
      const [first] = topics
      if (first === undefined) return local.publish(crowd, message)
      const topic = topics.length === 1 ? first : tenantTopic(tenantOf(first))
      const head: CrowdHead = { topics, audience, id, elapsedMs: elapsedMs(acceptedAt) }
      const [here, { texts }] = await Promise.all([
        local.publish(crowd, message),
        trace(span, calls.ask(topic, 'crowd', `${JSON.stringify(head)}\n${body}`)),
      ])
      const elsewhere = texts.filter(text => text !== '').map(text => JSON.parse(text) as WriteCount)
      return sum([here, ...elsewhere])
    },
    redeliver: async entry => {
      const [here, { answers }] = await Promise.all([
        local.redeliver(entry),
        redeliverElsewhere(entry.owner, entry),
      ])
      return sum([here, ...answers])
    },
    areConnected: async owners => {
      const [here, { about }] = await Promise.all([local.areConnected(owners), askConnected(owners, '')])
      return here.map((isConnected, n) => isConnected || (about[n] ?? []).length > 0)
    },
    acknowledgeElsewhere: createAckElsewhere({ local, calls, clock }),
    close: async (owner, reason, words) => {
      const [here, { texts }] = await Promise.all([
        local.close(owner, reason, words),
        Promise.resolve(calls.ask(owner, 'close', JSON.stringify({ reason, words }))).catch(storeUnavailable),
      ])
      return texts.reduce((total, text) => total + Number(text), here)
    },
  }
}
