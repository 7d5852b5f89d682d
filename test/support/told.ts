import { asyncApi } from './asyncapi.ts'
import { type Check, checksOf, type Json, resolve } from './openapi.ts'

const document: Json = asyncApi()
let check: Check | undefined

/** Returns how a message to clients differs from `docs/asyncapi.yaml`; undefined if it does not. */
export function faultOfTold(channel: 'ws' | 'sse', message: Json): string | undefined {
  const described = document.channels[channel].messages[message?.type]
  // Names of client messages begin with a capital.
  if (described === undefined || /^[A-Z]/.test(message.type)) return `a message of type ${message?.type}`
  check ??= checksOf(document, { isClosed: true })
  return check(resolve(document, resolve(document, described).payload), message)
}

/** Returns the message; fails the running test if it contradicts `docs/asyncapi.yaml`. */
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
