import { expect, test } from 'bun:test'
import { API_KEY, SECRET, startTestApp } from '../support/app.ts'
import { denoCommand, denoEnvironment } from '../support/deno.ts'
import { createProject } from '../support/project.ts'

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

test.each([
  ['websocket', ''],
  ['sse', 'WebSocket: undefined'],
])(
  'in Deno a backend sends and signs tokens, a client receives by %s, and the process ends by itself',
  async (transport, options) => {
    await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
    await using project = await createProject({ 'main.js': program(options) })
    const child = Bun.spawn([...(await denoCommand('main.js')), service.url, API_KEY, SECRET], {
      cwd: project.folder,
      env: { ...process.env, ...denoEnvironment(project.folder) },
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'pipe',
      timeout: TEST_MS / 2,
    })
    const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(JSON.parse(out)).toEqual({
      transport,
      got: ['to ann', 'to the room'],
      refused: 'VALIDATION_ERROR',
    })
  },
  TEST_MS,
)
