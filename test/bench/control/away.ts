/** Stores a send to a disconnected user in a bounded array of that user. */
import { frameOf, serveSends } from './wire.ts'

const MAX_KEPT = 100

const kept = new Map<string, string[]>()

serveSends((send, id) => {
  const list = kept.get(send.target_user_id) ?? []
  if (list.length === MAX_KEPT) list.shift()
  list.push(frameOf(send, id))
  kept.set(send.target_user_id, list)
  return undefined
})
