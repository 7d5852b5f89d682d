import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { API_KEY, SECRET, startTestApp } from '../support/app.ts'
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

async function findDeno(): Promise<string> {
  const scan = { cwd: join(import.meta.dir, '../..'), absolute: true, followSymlinks: true }
  for await (const path of new Bun.Glob('node_modules/@deno/*/deno').scan(scan)) return path
  throw new Error('Tests need Deno: type "bun install".')
}

test.each([
  ['websocket', ''],
  ['sse', 'WebSocket: undefined'],
])(
  'in Deno a backend sends and signs tokens, a client receives by %s, and the process ends by itself',
  async (transport, options) => {
    await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
    await using project = await createProject({ 'main.js': program(options) })
    const run = ['run', '--quiet', '--no-config', '--node-modules-dir=manual', '--allow-net', 'main.js']
    const child = Bun.spawn([await findDeno(), ...run, service.url, API_KEY, SECRET], {
      cwd: project.folder,
      env: { ...process.env, DENO_DIR: join(project.folder, '.deno'), DENO_NO_UPDATE_CHECK: '1' },
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
