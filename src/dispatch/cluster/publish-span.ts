import type { Awaitable } from '../../lib/flow/awaitable.ts'
import type { Span } from '../../lib/trace-context.ts'
import type { Tracing } from '../../observe/tracing.ts'
import type { Answers } from './answers.ts'

/** Wraps the wait for the answers of other nodes in a span. */
export type TracePublish = <T extends Answers>(
  parent: Span | undefined,
  answers: Awaitable<T>,
) => Awaitable<T>

export const tracePublish =
  (tracing: Tracing | undefined): TracePublish =>
  (parent, answers) => {
    if (tracing === undefined || parent === undefined) return answers
    const span = tracing.start('bus.publish', { kind: 'producer', parent })
    return Promise.resolve(answers)
      .then(given => {
        const { texts, missing } = given
        span.set({ 'ara.nodes': texts.length + missing, 'ara.answers': texts.length })
        return given
      })
      .catch(error => {
        span.fail()
        throw error
      })
      .finally(() => span.end())
  }
