/** Stores a send to a disconnected user in a bounded array of that user. */
import { createKept } from './kept.ts'
import { frameOf, serveSends } from './wire.ts'

const keep = createKept()

serveSends((send, id) => {
  keep(send.target_user_id, frameOf(send, id))
  return undefined
})
