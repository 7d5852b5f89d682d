import { afterAll, beforeAll, expect, test } from 'bun:test'
import { denoCommand, denoEnvironment } from '../support/deno.ts'
import { BEHAVIOURS, type Misbehaving, startMisbehaving } from '../support/misbehaving.ts'
import { createProject, findNode, type Project } from '../support/project.ts'

const TEST_MS = 30_000

/** Sends once to each address, and prints how each call ended. Pauses take no time. */
const PROGRAM = `
import { createServerClient } from 'ara-client/server'
const [url, names] = globalThis.Deno ? Deno.args : process.argv.slice(2)
const results = {}
// Calls that share a signal cause no warning.
const { signal } = new AbortController()
const ara = createServerClient({ url: url + '/unauthorized', apiKey: 'a-key-0123456789' })
await Promise.all(Array.from({ length: 20 }, () => ara.disconnect('ann', { signal }).catch(() => {})))
const send = async name => {
  const waits = []
  const sleep = async ms => void waits.push(ms)
  const timeout = /^(?:hang|drips)/.test(name) ? 300 : 20_000
  const options = { retries: 2, timeout, random: () => 0.5, sleep }
  const ara = createServerClient({ url: url + '/' + name, apiKey: 'a-key-0123456789', ...options })
  const error = await ara.user('ann', { event_type: 'e', payload: 1 }).catch(reason => reason)
  const { code, status, message, retryAfter, requestId } = error
  results[name] = { code, status, message: message.replace(url, ''), retryAfter, requestId, waits }
}
await Promise.all(names.split(',').map(send))
console.log(JSON.stringify(results))`

const BACKOFF = [300, 600]
const unreachable = { code: 'UNREACHABLE', status: 0, waits: BACKOFF }
const limited = (waits: unknown = BACKOFF) => ({ code: 'RATE_LIMITED', status: 429, waits })
const foreign = (status: number, waits: readonly number[] = []) => ({
  code: 'UNEXPECTED_ANSWER',
  status,
  waits,
  message: expect.stringContaining(`answered ${status} without the JSON of the service`),
})
const moved = (status: number) => ({
  code: 'UNEXPECTED_ANSWER',
  status,
  waits: [],
  message: expect.stringMatching(
    /^\/moved-\d+ redirects to http:\S+\/api: set url to the address that answers$/,
  ),
})
const incomplete = {
  code: 'UNEXPECTED_ANSWER',
  status: 200,
  waits: BACKOFF,
  message: expect.stringContaining('answered 200 with incomplete JSON'),
}
const late = { ...unreachable, message: expect.stringContaining(': timed out after 300 ms') }

const OUTCOMES: Readonly<Record<keyof typeof BEHAVIOURS, object>> = {
  'reset-at-once': unreachable,
  'close-at-once': unreachable,
  'reset-in-head': unreachable,
  'reset-in-body': unreachable,
  'close-in-body': unreachable,
  'close-in-chunks': unreachable,
  'not-http': unreachable,
  'hang-before-head': late,
  'hang-in-body': late,
  'drips-forever': late,
  'half-json': incomplete,
  'empty-200': incomplete,
  'html-200': foreign(200),
  'html-403': foreign(403),
  'html-404': foreign(404),
  'empty-204': foreign(204),
  'null-200': foreign(200),
  'list-200': foreign(200),
  'text-200': foreign(200),
  'bad-gateway': foreign(502, BACKOFF),
  'gateway-timeout': foreign(504, BACKOFF),
  'other-json-404': foreign(404),
  'other-json-500': foreign(500),
  away: {
    code: 'STORE_UNAVAILABLE',
    status: 503,
    message: 'not now',
    retryAfter: 1,
    requestId: 'r-1',
    waits: [1_000, 1_000],
  },
  limited: limited([3_000, 3_000]),
  'limited-by-date': limited([expect.any(Number), expect.any(Number)]),
  'limited-by-old-date': limited(),
  'limited-silently': limited(),
  'limited-negative': limited(),
  'limited-oddly': limited(),
  // Longer than the deadline: the caller decides.
  'limited-for-a-day': { ...limited([]), retryAfter: 86_400 },
  'limited-for-ever': limited([]),
  busy: { code: 'IDEMPOTENCY_IN_PROGRESS', status: 409, waits: Array.from({ length: 59 }, () => 1_000) },
  unauthorized: { code: 'UNAUTHORIZED', status: 401, waits: [] },
  'moved-301': moved(301),
  'moved-302': moved(302),
  'moved-303': moved(303),
  'moved-307': moved(307),
  'moved-308': moved(308),
}

let project: Project
let server: Misbehaving

beforeAll(async () => {
  project = await createProject({ 'main.js': PROGRAM })
  server = await startMisbehaving()
}, TEST_MS)

afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await project[Symbol.asyncDispose]()
})

test.each([
  ['Bun', async () => [process.execPath, 'main.js']],
  ['Node', async () => [findNode(), 'main.js']],
  ['Deno', () => denoCommand('main.js')],
])(
  'in %s a server that resets, hangs, redirects or answers nonsense gives the same errors, and each call keeps its key',
  async (_, command) => {
    const before = new Map(server.keys)
    const child = Bun.spawn([...(await command()), server.url, Object.keys(BEHAVIOURS).join(',')], {
      cwd: project.folder,
      env: { ...process.env, ...denoEnvironment(project.folder) },
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'pipe',
      timeout: TEST_MS,
    })
    const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
    expect({ code, err }).toEqual({ code: 0, err: '' })
    const results = JSON.parse(out)
    // HTTP dates have whole seconds.
    for (const ms of results['limited-by-date'].waits) expect(ms).toBeWithin(3_000, 5_001)
    expect(Object.keys(results).sort()).toEqual(Object.keys(OUTCOMES).sort())
    expect(results).toMatchObject(OUTCOMES)
    expect(server.followed).toBe(0)
    for (const [name, { waits }] of Object.entries<{ waits: unknown[] }>(results)) {
      const keys = server.keys.get(name)?.slice(before.get(name)?.length) ?? []
      expect({ name, keys: new Set(keys).size }).toEqual({ name, keys: 1 })
      // Deno itself sends again on a new connection.
      expect(keys.length).toBeGreaterThan(waits.length)
    }
  },
  TEST_MS,
)
