import { expect, test } from 'bun:test'
import fc from 'fast-check'
import * as v from 'valibot'
import { claims } from '../../src/auth/claims.ts'
import { batch } from '../../src/http/routes/batch/batch.ts'
import { acks } from '../../src/http/routes/me.ts'
import { formats } from '../../src/http/routes/notifications.ts'
import { change, creation } from '../../src/http/routes/templates.ts'
import { disconnection } from '../../src/http/routes/users.ts'
import { type Format, formatOf, readDocument } from '../../src/lib/json/document.ts'
import { quickReadOf, UNSURE } from '../../src/lib/json/quick-read.ts'
import { parseMessage } from '../../src/protocol/client-messages.ts'

const all: Readonly<Record<string, Format<unknown>>> = {
  ...formats,
  batch: formatOf(batch),
  acks: formatOf(acks),
  disconnection: formatOf(disconnection),
  creation,
  change,
}

/** Makes the schema judge every document. */
const slow = <T>(format: Format<T>): Format<T> => ({ ...format, quickRead: () => UNSURE })

/** JSON texts, most of them valid for at least one key. */
const VALUES = [
  '"u-1"',
  '"a.b"',
  '""',
  '".."',
  '"\\u0001"',
  '"\\ud800"',
  `"${'x'.repeat(300)}"`,
  '"High"',
  '"high"',
  '"key-1"',
  '"k 1"',
  '0',
  '5',
  '5.0',
  '5e0',
  '-1',
  '4294967296',
  '1e400',
  'null',
  'true',
  '{}',
  '[]',
  '{"a":[1,{"b":null}]}',
  '["u-1","u-2"]',
  '[""]',
  '{"type":"All"}',
  '{"type":"Roles","value":["admin"]}',
  '{"type":"Roles"}',
  '["6ad7eb3c-5d9f-4c52-9b0c-0a2f3f6f3c11"]',
  '"e:1"',
  '"2026-01-02T03:04:05Z"',
  `"${'é'.repeat(61)}"`,
]
const KEYS = [
  ...['target_user_id', 'target_user_ids', 'channel', 'channels', 'audience', 'event_type', 'payload'],
  ...['priority', 'ttl', 'correlation_id', 'idempotency_key', 'template_id', 'variables', 'strict'],
  ...[
    'notification_ids',
    'cursor',
    'reason',
    'issued_before',
    'id',
    'name',
    'payload_template',
    'default_priority',
    'default_ttl',
    'description',
    'notifications',
    'options',
    'target',
    'type',
    'value',
    '__proto__',
    'toString',
    'more',
    'event_typ\\u0065',
  ],
]
const GOOD: Readonly<Record<string, string>> = {
  target_user_id: '"u-1"',
  target_user_ids: '["u-1"]',
  channel: '"a.b"',
  channels: '["a.b"]',
  event_type: '"e"',
  payload: '{"a":1}',
  id: '"t-1"',
  name: '"T"',
  payload_template: '{"a":"{{b}}"}',
}

const member = fc.tuple(fc.constantFrom(...KEYS), fc.constantFrom(...VALUES))
/** Objects with the required keys, and with some keys wrong, missing, unknown or repeated. */
const texts = fc
  .tuple(fc.subarray(Object.keys(GOOD)), fc.array(member, { maxLength: 4 }), fc.boolean())
  .map(([good, more, goodLast]) => {
    const required = good.map(key => `"${key}":${GOOD[key]}`)
    const others = more.map(([key, value]) => `"${key}": ${value}`)
    return `{${(goodLast ? [...others, ...required] : [...required, ...others]).join(',')}}`
  })
const documents = fc.oneof(
  { weight: 8, arbitrary: texts },
  { weight: 1, arbitrary: fc.constantFrom(...VALUES) },
  { weight: 1, arbitrary: fc.array(texts, { maxLength: 3 }).map(list => `{"notifications":[${list}]}`) },
)

for (const [name, format] of Object.entries(all))
  test(`the quick reading of ${name} gives what the schema gives, faults included`, () => {
    fc.assert(
      fc.property(documents, text => {
        expect(readDocument(text, format)).toEqual(readDocument(text, slow(format)))
      }),
      { numRuns: 2_000 },
    )
  })

const claim = fc.tuple(
  fc.constantFrom(
    'sub',
    'exp',
    'iat',
    'nbf',
    'roles',
    'tenant_id',
    'channels',
    'iss',
    'aud',
    '__proto__',
    'x',
  ),
  fc.constantFrom(...VALUES, '1750000000', '1750000000.5', '9007199254740993', '["admin"]'),
)

test('the quick reading of claims gives what the schema gives', () => {
  const quickRead = quickReadOf(claims)
  let isQuick = 0
  fc.assert(
    fc.property(fc.array(claim, { maxLength: 4 }), fc.boolean(), (more, isWhole) => {
      const members = more.map(([name, value]) => `"${name}":${value}`)
      const payload = JSON.parse(`{${(isWhole ? ['"sub":"u"', '"exp":1', ...members] : members).join(',')}}`)
      const quick = quickRead(payload)
      if (quick === UNSURE) return
      isQuick++
      const { success, output } = v.safeParse(claims, payload)
      expect([success, output]).toEqual([true, quick as typeof output])
    }),
    { numRuns: 2_000 },
  )
  expect(isQuick).toBeGreaterThan(100)
})

test('most sends need no schema', () => {
  const plain = '{"target_user_id":"u","event_type":"e","payload":1,"priority":"High","ttl":5,"more":1}'
  expect(formats.user.quickRead(JSON.parse(plain))).toEqual({
    target_user_id: 'u',
    event_type: 'e',
    payload: 1,
    priority: 'High',
    ttl: 5,
  })
})

test('an acknowledgement in its usual spelling is read like any other spelling', () => {
  const id = '6f0d1c52-7a35-4c0e-9a53-0d7f0a6b1f11'
  const ids = [id, id.toUpperCase(), id.replaceAll('-', ''), `${id} `, `${id}"`, '', 'x', null, 7]
  for (const notification_id of ids) {
    const ack = { type: 'Ack', payload: { notification_id } }
    expect(parseMessage(JSON.stringify(ack))).toEqual(parseMessage(JSON.stringify(ack, null, 1)))
  }
  expect(parseMessage(JSON.stringify({ type: 'Ack', payload: { notification_id: id } }))).toEqual({
    message: { type: 'Ack', payload: { notification_id: id } },
  })
})
