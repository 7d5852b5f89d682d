import type { Span } from '../../lib/trace-context.ts'
import type { Topic } from '../../notification/topic.ts'
import type { Tracing } from '../../observe/tracing.ts'
import type { PageLimit } from '../../store/page-limit.ts'
import type { Draft, Entry, Page, Store, UserLog } from '../../store/store.ts'

/** A log whose calls take a parent span as last argument. Without one nothing is traced. */
export interface TracedLog {
  append(drafts: readonly Draft[], span?: Span): ReturnType<UserLog['append']>
  read(
    owner: Topic,
    after: number,
    limit: PageLimit,
    unsettledOnly?: boolean,
    span?: Span,
  ): ReturnType<UserLog['read']>
  list(owner: Topic, after: number, limit: PageLimit, span?: Span): ReturnType<UserLog['list']>
}

/** The trace of one replay, from its first page. */
export interface ReplaySpan {
  readonly span: Span
  wrote(entries: readonly Entry[]): void
  end(): void
}

/** Ends the span with the work; `count` returns the number of entries. */
function within<T>(span: Span, work: Promise<T>, count: (done: T) => number): Promise<T> {
  return work.then(
    done => {
      span.set({ 'ara.entries': count(done) })
      span.end()
      return done
    },
    error => {
      span.fail()
      span.end()
      throw error
    },
  )
}

const countPage = ({ entries }: Page): number => entries.length

/** Wraps a store: log calls with a span get a child span. */
export function traceStore(store: Store, { start }: Tracing): Store {
  const { log, kind } = store
  const below = (parent: Span, name: 'store.append' | 'store.read') =>
    start(name, { kind: 'client', parent, attributes: { 'ara.store': kind } })
  const traced: TracedLog = {
    append: (drafts, span) =>
      span === undefined || drafts.length === 0
        ? log.append(drafts)
        : within(below(span, 'store.append'), Promise.resolve(log.append(drafts)), () => drafts.length),
    read: (owner, after, limit, unsettledOnly, span) =>
      span === undefined
        ? log.read(owner, after, limit, unsettledOnly)
        : within(below(span, 'store.read'), log.read(owner, after, limit, unsettledOnly), countPage),
    list: (owner, after, limit, span) =>
      span === undefined
        ? log.list(owner, after, limit)
        : within(below(span, 'store.read'), log.list(owner, after, limit), countPage),
  }
  return { ...store, log: { ...log, ...traced } }
}

/** Starts the span of a replay, which links to the traces of its entries. */
export function startReplay({ start }: Tracing): ReplaySpan {
  const span = start('replay')
  let count = 0
  return {
    span,
    wrote: entries => {
      count += entries.length
      for (const { traceparent: trace } of entries) span.link(trace)
    },
    end: () => {
      span.set({ 'ara.entries': count })
      span.end()
    },
  }
}
