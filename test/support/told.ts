import { asyncApi } from './asyncapi.ts'
import { type Check, checksOf, type Json, resolve } from './openapi.ts'

const document: Json = asyncApi()
let check: Check | undefined

/** What a message to clients has that `docs/asyncapi.yaml` does not say; undefined when there is nothing. */
export function faultOfTold(channel: 'ws' | 'sse', message: Json): string | undefined {
  const described = document.channels[channel].messages[message?.type]
  // What clients say is there too, with a capital.
  if (described === undefined || /^[A-Z]/.test(message.type)) return `a message of type ${message?.type}`
  check ??= checksOf(document, { isClosed: true })
  return check(resolve(document, resolve(document, described).payload), message)
}

/** Passes it on; fails the test that runs, wherever it is called from, when it is not as `docs/asyncapi.yaml` says. */
export function told<M>(channel: 'ws' | 'sse', message: M): M {
  const fault = faultOfTold(channel, message)
  if (fault !== undefined)
    queueMicrotask(() => {
      throw new Error(
        `docs/asyncapi.yaml does not say of /${channel}: ${fault} in ${JSON.stringify(message)}`,
      )
    })
  return message
}
