/** Stores a durable send by the one Redis script that appends to the user's log. */
import { Redis } from 'ioredis'
import { userTopic } from '../../../src/notification/topic.ts'
import { LIFE_KEY, logKeys } from '../../../src/store/redis/keys.ts'
import { createNames } from '../../../src/store/redis/names.ts'
import { SCRIPTS } from '../../../src/store/redis/scripts.ts'
import { frameOf, serveSends } from './wire.ts'

const RETENTION_MS = 3_600_000
const MAX_KEPT = 100
const NORMAL = 1

const newName = createNames()
// Send all commands of one turn in one write, as the service does.
const redis = new Redis(process.env['STORE_URL'] ?? '', { enableAutoPipelining: true })
await redis.script('LOAD', SCRIPTS.append.text)
const [life] = (await redis.eval(SCRIPTS.life.text, 1, LIFE_KEY, 'bench', newName())) as [string, string]

serveSends((send, id) => {
  const keys = logKeys(userTopic('default', send.target_user_id))
  const log = ['', life, newName(), RETENTION_MS, '']
  const body = frameOf(send, id).slice(0, -1)
  const [event, now] = [JSON.stringify(send.event_type), Date.now()]
  const [noEnd, noTrace] = ['', '']
  const entry = [now + 1_000, MAX_KEPT, id, body, event, now, NORMAL, noEnd, noTrace, body.length]
  const noRecipients = ['', '', '', '']
  return redis.evalsha(SCRIPTS.append.sha, keys.length, ...keys, ...log, ...entry, ...noRecipients)
})
