import { expect, test } from 'bun:test'
import { API_KEY, SECRET, startTestApp } from '../support/app.ts'
import { denoCommand, denoEnvironment } from '../support/deno.ts'
import { createProject } from '../support/project.ts'
import { send } from '../support/visit.ts'

const TEST_MS = 60_000

/** Sends as a backend, and receives as a user whose token the backend has signed. */
const program = (options: string): string => `
import { createClient } from 'ara-client'
import { createServerClient } from 'ara-client/server'
const [url, apiKey, secret] = Deno.args
const server = createServerClient({ url, apiKey, secret })
const ara = createClient({ url, token: () => server.token({ user: 'ann' }), ${options} })
ara.subscribe('room')
await ara.ready({ timeout: 10_000 })
await server.user('ann', { event_type: 'e', payload: 'to ann' })
await server.channel('room', { event_type: 'e', payload: 'to the room' })
const got = []
for await (const { payload } of ara) if (got.push(payload) === 2) break
const { transport } = ara.connection
ara.close()
const refused = await server.user('', { event_type: 'e', payload: 1 }).catch(error => error.code)
console.log(JSON.stringify({ transport, got, refused }))`

/** Ends when the second notification comes, though the handler of the first one threw. */
const THROWING = `
import { createClient } from 'ara-client'
const [url, token] = Deno.args
const ara = createClient({ url, token: () => token })
let calls = 0
ara.on('e', () => {
  if (++calls === 1) throw new Error('not this time')
  ara.close()
})`

/** Runs the \`main.js\` of a project. */
async function runDeno(folder: string, ...args: readonly string[]) {
  const child = Bun.spawn([...(await denoCommand('main.js')), ...args], {
    cwd: folder,
    env: { ...process.env, ...denoEnvironment(folder) },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    timeout: TEST_MS / 2,
  })
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  return { out, err, code }
}

test.each([
  ['websocket', ''],
  ['sse', 'WebSocket: undefined'],
])(
  'in Deno a backend sends and signs tokens, a client receives by %s, and the process ends by itself',
  async (transport, options) => {
    await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
    await using project = await createProject({ 'main.js': program(options) })
    const { out, err, code } = await runDeno(project.folder, service.url, API_KEY, SECRET)
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(JSON.parse(out)).toEqual({
      transport,
      got: ['to ann', 'to the room'],
      refused: 'VALIDATION_ERROR',
    })
  },
  TEST_MS,
)

test(
  'in Deno a handler that throws is reported, and does not end the process',
  async () => {
    await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
    await using project = await createProject({ 'main.js': THROWING })
    for (const payload of [1, 2]) await send(service, 'ann', payload)
    const { out, err, code } = await runDeno(project.folder, service.url, await service.token('ann'))
    expect({ out, code }).toEqual({ out: '', code: 0 })
    expect(err).toContain('Error: not this time')
  },
  TEST_MS,
)
