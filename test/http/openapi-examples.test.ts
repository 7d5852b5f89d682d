import { describe, expect, test } from 'bun:test'
import { API_KEY, startTestApp, type TestApp } from '../support/app.ts'
import { startPair } from '../support/cluster.ts'
import { masked, maskedText } from '../support/masked.ts'
import {
  type Ask,
  ask,
  checksOf,
  DOCUMENT as document,
  type Json,
  operationsOf,
  requestOf,
  resolve,
} from '../support/openapi.ts'
import { eventually, send, socketOf } from '../support/visit.ts'

const operations = operationsOf(document)
/** Routes without a finite body; other tests check their messages. */
const isPlain = ({ path }: { readonly path: string }) => path !== '/ws' && path !== '/docs/{file}'

const INVOICE = { event_type: 'invoice.paid', priority: 'High', ttl: 600, correlation_id: 'c-1' }
const TEMPLATE =
  document.paths['/api/v1/templates'].post.requestBody.content['application/json'].examples.template.value
const SETTINGS = { ACK_ENABLED: 'true', QUEUE_ENABLED: 'true', TENANT_ENABLED: 'true' }
const ENV = { ...SETTINGS, NODE_ID: 'n1' }

/** Ids in examples → ids of this run. */
type Names = ReadonlyMap<string, string>

/** The state that examples assume: `u-7` has two connections, `orders` and an invoice. */
async function stage() {
  const stack = new AsyncDisposableStack()
  const app = stack.use(await startTestApp(ENV))
  for (let n = 0; n < 2; n++) {
    const socket = stack.use(await socketOf(app, 'u-7'))
    socket.send({ type: 'Subscribe', payload: { channels: n === 0 ? ['orders'] : ['orders', 'system'] } })
    await socket.nextOf('subscribed')
  }
  const { notification_id: id } = await send(app, 'u-7', { no: 42, ok: true }, INVOICE)
  const log = async () => (await app.get('/api/v1/users/u-7/notifications')).json
  await eventually(async () => (await log()).notifications[0].state === 'received')
  const { cursor } = await log()
  const names: Names = new Map([
    ['6f0d1c52-7a35-4c0e-9a53-0d7f0a6b1f11', id],
    ['k3f9:12', cursor],
  ])
  return { app, names, [Symbol.asyncDispose]: () => stack.disposeAsync() }
}

/** Two nodes, and a socket of `u-7` on each. With `partial` a subscriber of the user's topic never answers. */
async function stagePair(isPartial: boolean) {
  await using stack = new AsyncDisposableStack()
  const pair = stack.use(await startPair(SETTINGS))
  const [app, other] = pair.nodes
  for (const node of [app, other]) stack.use(await socketOf(node, 'u-7'))
  if (isPartial) await pair.redis.client().subscribe('ara:bus:0:user:{default:u-7}')
  const names: Names = new Map()
  const staged = stack.move()
  return { app, names, [Symbol.asyncDispose]: () => staged.disposeAsync() }
}

const stageFor = (name: string | undefined) =>
  name === 'nodes' || name === 'partial' ? stagePair(name === 'partial') : stage()

const renamed = (text: string, names: Names): string =>
  [...names].reduce((changed, [from, to]) => changed.replaceAll(from, to), text)

const credentialsOf = async (app: TestApp) => ({ apiKey: API_KEY, token: await app.token('u-7') })

/** Examples that create something, which must not exist before. */
const ABSENT = new Set(['POST /api/v1/templates'])

const successOf = (operation: Json): [status: number, response: Json] => {
  const [status = '', response] = Object.entries<Json>(operation.responses).find(([key]) => key < '300') ?? []
  return [Number(status), resolve(document, response)]
}

describe('every example of the document gets the documented answer', () => {
  for (const each of operations.filter(isPlain)) {
    const { method, path, operation } = each
    const [status, response] = successOf(operation)
    const [answers = {}] = Object.values<Json>(response.content ?? {}).map(({ examples }) => examples ?? {})
    const bodies = operation.requestBody?.content['application/json'].examples ?? {}
    const names = [...new Set([...Object.keys(bodies), ...Object.keys(answers)])]
    for (const name of names.length === 0 ? [undefined] : names)
      test(`${method} ${path}${name === undefined ? '' : `: ${name}`}`, async () => {
        await using service = await stageFor(name)
        const { app, names: known } = service
        if (!ABSENT.has(`${method} ${path}`)) await app.post('/api/v1/templates', TEMPLATE)
        const request = requestOf(document, each, await credentialsOf(app), name && bodies[name]?.value)
        const named: Ask = JSON.parse(renamed(JSON.stringify(request), known))
        const answered = await ask(app.url, named)
        expect([answered.status, answered.text]).toEqual([status, answered.text])
        const example = name === undefined ? undefined : answers[name]?.value
        if (typeof example === 'string') expect(maskedText(answered.text)).toBe(maskedText(example))
        else if (example !== undefined) expect(masked(answered.json)).toEqual(masked(example))
      })
  }
})

test('/ws opens as the document says', async () => {
  await using service = await stage()
  const { operation } = operations.find(({ path }) => path === '/ws') ?? {}
  expect(Object.keys(operation.responses)).toContain('101')
  using socket = await socketOf(service.app, 'u-8', { cursor: '' })
  expect(await socket.next()).toMatchObject({ type: 'connected', user_id: 'u-8' })
})

/** Enough for hundreds of requests on a busy machine. */
const MANY_MS = 60_000

/** Values of every kind, at and beyond limits. */
const ODD: readonly unknown[] = [
  null,
  true,
  5,
  5.5,
  -1,
  4_294_967_295,
  4_294_967_296,
  '',
  'x',
  'x y',
  'u\u0000',
  'x'.repeat(120),
  'x'.repeat(129),
  'x'.repeat(300),
  [],
  ['x'],
  Array(101).fill('x'),
  {},
  { x: 1 },
  { type: 'All' },
]
/** Values whose content is free. */
const FREE = new Set(['payload', 'payload_template', 'variables'])

/** Whether a batch item was rejected; the others are sent. */
const isFaulty = ({ code }: Json): boolean => code === 'VALIDATION_ERROR'

/** All variants of a value with one part removed or replaced. */
function* variantsOf(value: Json, inside = true): Generator<[what: string, changed: unknown]> {
  for (const odd of ODD) yield [JSON.stringify(odd).slice(0, 20), odd]
  if (!inside || typeof value !== 'object' || value === null) return
  for (const key of Object.keys(value)) {
    if (!Array.isArray(value)) {
      const { [key]: _, ...rest } = value
      yield [`without ${key}`, rest]
    }
    for (const [what, changed] of variantsOf(value[key], !FREE.has(key))) {
      const copy = structuredClone(value)
      copy[key] = changed
      yield [`${key}: ${what}`, copy]
    }
  }
}

function* withVariants(value: Json): Generator<[what: string, changed: unknown]> {
  yield ['as it is', value]
  yield* variantsOf(value)
}

describe('the server accepts exactly the bodies that the schema accepts', () => {
  const check = checksOf(document, { isClosed: false })

  for (const each of operations.filter(({ operation }) => operation.requestBody))
    test(
      `${each.method} ${each.path}`,
      async () => {
        await using service = await stage()
        const { app, names } = service
        for (const id of [TEMPLATE.id, 'unknown', 'x'])
          await app.post('/api/v1/templates', { ...TEMPLATE, id })
        const { schema, examples } = each.operation.requestBody.content['application/json']
        const credentials = await credentialsOf(app)
        const differences: string[] = []
        let [taken, refused] = [0, 0]
        for (const { value } of Object.values<Json>(examples))
          for (const [what, changed] of withVariants(JSON.parse(renamed(JSON.stringify(value), names)))) {
            const fault = check(schema, changed)
            const { status, text, json } = await ask(
              app.url,
              requestOf(document, each, credentials, JSON.stringify(changed)),
            )
            // A used key is checked only after the shape.
            const isUsed = json?.error?.code === 'IDEMPOTENCY_KEY_REUSED'
            const isRefused =
              ((status === 400 || status === 422) && !isUsed) || json?.results?.some(isFaulty) === true
            if (isRefused) refused++
            else taken++
            if (isRefused !== (fault !== undefined))
              differences.push(`${what}: ${fault} but ${status} ${text.slice(0, 200)}`)
          }
        expect(differences).toEqual([])
        expect([taken > 0, refused > 0]).toEqual([true, true])
      },
      MANY_MS,
    )

  for (const { method, path, operation } of operations.filter(each => each.operation.requestBody))
    test(`${method} ${path} accepts a body of the documented size, and not a byte more`, async () => {
      await using service = await stage()
      const { app } = service
      const most = operation.requestBody['x-max-bytes']
      const place = path.replaceAll(/\{\w+\}/g, 'x')
      const headers = { 'x-api-key': API_KEY, authorization: `Bearer ${await app.token('u-7')}` }
      const codes = []
      for (const bytes of [most, most + 1])
        codes.push(
          (await ask(app.url, { method, path: place, headers, body: ' '.repeat(bytes) })).json.error.code,
        )
      expect(codes).toEqual(['INVALID_JSON', 'PAYLOAD_TOO_LARGE'])
    })
})
