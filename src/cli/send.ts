import type { Environment } from '../config/config.ts'
import { IDEMPOTENCY_KEY_RULE, isIdempotencyKey } from '../protocol/names.ts'
import { PRIORITIES } from '../protocol/values.ts'
import { keyOf, urlOf } from './address.ts'
import { type Answer, callApi, refusalOf } from './api.ts'
import { type Arguments, durationOf, listOf, UsageError } from './options.ts'
import { printable, type Terminal } from './terminal.ts'
import { tenantOf } from './token.ts'

interface Target {
  readonly path: string
  readonly fields: Readonly<Record<string, unknown>>
}

const TARGETS = ['user', 'users', 'channel', 'channels', 'broadcast']

/** The one target among the options. */
function targetOf(args: Arguments): Target {
  const text = (option: string) => args.text(option)
  const given: Readonly<Record<string, Target | undefined>> = {
    user: text('user') === undefined ? undefined : { path: 'send', fields: { target_user_id: text('user') } },
    users:
      text('users') === undefined
        ? undefined
        : { path: 'send-to-users', fields: { target_user_ids: listOf(args, 'users') } },
    channel:
      text('channel') === undefined ? undefined : { path: 'channel', fields: { channel: text('channel') } },
    channels:
      text('channels') === undefined
        ? undefined
        : { path: 'channels', fields: { channels: listOf(args, 'channels') } },
    broadcast: args.flag('broadcast') ? { path: 'broadcast', fields: {} } : undefined,
  }
  const [target, ...others] = Object.values(given).filter(each => each !== undefined)
  if (target === undefined || others.length > 0)
    throw new UsageError(`expected one of ${TARGETS.map(name => `--${name}`).join(', ')}`)
  return target
}

/** Bytes of a file, or of stdin. */
async function readBytes(source: string): Promise<Uint8Array> {
  if (source === '-') return await Bun.stdin.bytes()
  const path = source.slice(1)
  try {
    return await Bun.file(path).bytes()
  } catch {
    throw new UsageError(`--payload: expected a file that can be read (${path})`)
  }
}

async function readText(source: string): Promise<string> {
  if (source !== '-' && !source.startsWith('@')) return source
  const bytes = await readBytes(source)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new UsageError('--payload: expected UTF-8')
  }
}

/** The payload as its JSON text, so that the digits of numbers stay. */
async function payloadOf(args: Arguments): Promise<string> {
  const text = await readText(args.text('payload') ?? 'null')
  try {
    JSON.parse(text)
    return text
  } catch {
    throw new UsageError(`--payload: expected JSON, such as '{"no":42}' or '"text"'`)
  }
}

function priorityOf(args: Arguments): string | undefined {
  const given = args.text('priority')?.toLowerCase()
  const known = PRIORITIES.find(each => each.toLowerCase() === given)
  if (given !== undefined && known === undefined)
    throw new UsageError(`--priority: expected ${PRIORITIES.join(', ')}`)
  return known
}

function keyOfSend(args: Arguments): string | undefined {
  const key = args.text('key')
  if (key === undefined || isIdempotencyKey(key)) return key
  throw new UsageError(`--key: expected ${IDEMPOTENCY_KEY_RULE}`)
}

async function bodyOf(args: Arguments, fields: Target['fields']): Promise<string> {
  const eventType = args.text('type')
  if (eventType === undefined) throw new UsageError('expected --type')
  const rest = JSON.stringify({
    ...fields,
    event_type: eventType,
    ttl: durationOf(args, 'ttl'),
    priority: priorityOf(args),
  })
  return `${rest.slice(0, -1)},"payload":${await payloadOf(args)}}`
}

const counted = (count: unknown, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`

/** One line about a result; unknown fields do not matter. */
function summaryOf({ body = {} }: Answer): string {
  const { status, delivered_to: delivered, queued, failed, notification_id: id } = body
  const to = `delivered to ${counted(delivered, 'connection')}, queued for ${counted(queued, 'user')}`
  return `${status}: ${to}, failed on ${failed} (id ${id})`
}

/** `send`: sends a notification and prints the answer. */
export async function sendNotification(
  args: Arguments,
  env: Environment,
  terminal: Terminal,
): Promise<number> {
  const { path, fields } = targetOf(args)
  const body = await bodyOf(args, fields)
  const tenant = tenantOf(args)
  const idempotencyKey = keyOfSend(args)
  const answer = await callApi(urlOf(args, env), `/api/v1/notifications/${path}`, {
    method: 'POST',
    key: keyOf(args, env),
    headers: {
      ...(tenant !== undefined && { 'x-tenant-id': tenant }),
      ...(idempotencyKey !== undefined && { 'idempotency-key': idempotencyKey }),
    },
    body,
  })
  if (answer.status !== 200 || typeof answer.body?.['notification_id'] !== 'string') {
    const { code, message } = refusalOf(answer)
    throw new Error(printable(`${code}: ${message}`))
  }
  await terminal.print(args.flag('json') ? printable(answer.text) : summaryOf(answer))
  return 0
}
