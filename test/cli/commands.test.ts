import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { join } from 'node:path'
import { API_KEY } from '../support/app.ts'
import { runCli } from '../support/cli.ts'
import { connectSocket, connectStream } from '../support/client.ts'
import { freePort } from '../support/free-port.ts'
import { startListening } from '../support/listener.ts'
import { type Service, startService } from '../support/service.ts'
import { storePlace } from '../support/store-file.ts'

// Each command is a process of its own: a busy machine needs seconds for several.
setDefaultTimeout(20_000)

const ROOT = new URL('../..', import.meta.url).pathname
const QUICK = { DRAIN_SECONDS: '0' }
const addressOf = ({ port }: Service) => ({ SERVER_PORT: String(port) })

describe('token', () => {
  test('signs a token that the service accepts, with issuer, audience and algorithm of the settings', async () => {
    const env = { JWT_ISSUER: 'ara', JWT_AUDIENCE: 'web', JWT_ALGORITHMS: 'HS512', CHANNEL_ACCESS: 'claims' }
    await using service = await startService({ ...QUICK, ...env })
    const { code, stdout } = await runCli(['token', '--user', 'u', '--channels', 'a,room.*', '--ttl', '2m'], {
      env,
    })
    expect(code).toBe(0)
    using stream = await connectStream(`${service.url}/sse?token=${stdout.trim()}&channels=a,room.1`)
    const { data } = await stream.nextOf('connected')
    expect(data).toMatchObject({ user_id: 'u', channels: ['a', 'room.1'] })
    expect(data.expires_in).toBeWithin(60, 121)
  })

  test('prints roles and tenant into the token, and JSON with --json', async () => {
    const args = ['token', '--user', 'u', '--tenant', 'acme', '--roles', 'a, b', '--json']
    const { token, expires_at: end } = JSON.parse((await runCli(args)).stdout)
    const claims = JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString())
    expect(claims).toMatchObject({ sub: 'u', tenant_id: 'acme', roles: ['a', 'b'] })
    expect(new Date(claims.exp * 1_000).toISOString()).toBe(end)
  })
})

describe('send', () => {
  test('sends to each kind of target and prints the answer', async () => {
    await using service = await startService({ ...QUICK, QUEUE_ENABLED: 'true' })
    const env = addressOf(service)
    const socket = await connectSocket(`${service.url}/ws?token=${await service.token('u')}&channels=a,b`)
    await socket.nextOf('subscribed')
    const targets = [
      ['--user', 'u'],
      ['--users', 'u,away'],
      ['--channel', 'a'],
      ['--channels', 'a,b'],
      ['--broadcast'],
    ]
    for (const [n, target] of targets.entries()) {
      const { code, stdout } = await runCli(['send', ...target, '--type', 'e', '--payload', String(n)], {
        env,
      })
      expect({ code, stdout }).toEqual({
        code: 0,
        stdout: expect.stringMatching(/delivered to 1 connection, queued for [01] users?/),
      })
      expect(await socket.nextOf('notification')).toMatchObject({ event_type: 'e', payload: n })
    }
    socket.close()
  })

  test('reads the payload from stdin and files with the same digits, and passes on all options', async () => {
    await using service = await startService({ ...QUICK, QUEUE_ENABLED: 'true' })
    await using place = await storePlace()
    const env = addressOf(service)
    const file = join(place.directory, 'payload.json')
    await Bun.write(file, '{"n":1.10}\n')
    const args = [
      'send',
      '--user',
      'u',
      '--type',
      'e',
      '--ttl',
      '1h',
      '--priority',
      'high',
      '--key',
      'k1',
      '--json',
    ]
    const first = await runCli([...args, '--payload', `@${file}`], { env })
    expect(JSON.parse(first.stdout)).toMatchObject({ success: true, queued: 1, status: 'queued' })
    expect(await runCli([...args, '--payload', `@${file}`], { env })).toEqual(first)
    await runCli(['send', '--user', 'u', '--type', 'e', '--payload', '-'], { env, stdin: '[1e400]' })
    const listed = await fetch(`${service.url}/api/v1/users/u/notifications`, {
      headers: { 'x-api-key': API_KEY },
    })
    const text = await listed.text()
    expect(text).toContain('"payload":{"n":1.10}')
    expect(text).toContain('"payload":[1e400]')
    expect(JSON.parse(text.replace('1e400', '1')).notifications).toMatchObject([
      { metadata: { ttl: 3_600, priority: 'High' } },
      { metadata: { priority: 'Normal' } },
    ])
  })

  test('ignores a byte order mark of a file, and rejects a payload that is not UTF-8', async () => {
    await using service = await startService({ ...QUICK, QUEUE_ENABLED: 'true' })
    await using place = await storePlace()
    const env = addressOf(service)
    const file = join(place.directory, 'payload.json')
    const args = ['send', '--user', 'u', '--type', 'e', '--payload', `@${file}`]
    await Bun.write(file, '\ufeff{"n":1}')
    expect(await runCli(args, { env })).toMatchObject({ code: 0 })
    await Bun.write(file, new Uint8Array([0x22, 0xff, 0x22]))
    expect(await runCli(args, { env })).toMatchObject({ code: 2, stderr: expect.stringContaining('UTF-8') })
  })

  test('a refusal ends with exit code 1 and its code on stderr', async () => {
    await using service = await startService(QUICK)
    const args = ['send', '--channel', 'a b', '--type', 'e']
    const bad = await runCli(args, { env: addressOf(service) })
    expect(bad).toEqual({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^VALIDATION_ERROR: [^\n]+\n$/),
    })
    const foreign = await runCli([...args, '--url', service.url, '--api-key', 'wrong'])
    expect(foreign).toEqual({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^UNAUTHORIZED: [^\n]+\n$/),
    })
  })

  test('acts for a tenant, with the key that is bound to it', async () => {
    const keys = 'acme:key-of-acme-0123456789,globex:key-of-globex-0123456789'
    const env = { ...QUICK, TENANT_ENABLED: 'true', TENANT_API_KEYS: keys, API_KEY: '' }
    await using service = await startService(env)
    const at = { ...env, ...addressOf(service) }
    await using listener = startListening(['--user', 'u', '--tenant', 'acme'], at)
    await listener.note(/^Connected as u/)
    for (const tenant of ['globex', 'acme']) {
      const args = ['send', '--user', 'u', '--type', tenant, '--tenant', tenant]
      expect(await runCli(args, { env: at })).toMatchObject({ code: 0 })
    }
    expect(await listener.next()).toMatch(/ acme {2}null$/)
    const nameless = await runCli(['send', '--user', 'u', '--type', 'e'], { env: at })
    expect(nameless).toMatchObject({ code: 1, stderr: expect.stringMatching(/^UNAUTHORIZED: /) })
  })

  test('a proxy of the environment is not used for the service on this machine', async () => {
    await using service = await startService(QUICK)
    const env = { ...addressOf(service), HTTP_PROXY: 'http://127.0.0.1:9', http_proxy: 'http://127.0.0.1:9' }
    for (const address of [[], ['--url', service.url]])
      expect(await runCli(['send', '--broadcast', '--type', 'e', ...address], { env })).toMatchObject({
        code: 0,
      })
  })
})

describe('listen', () => {
  test('accepts a cursor and a payload that begin with `-`', async () => {
    await using service = await startService({ ...QUICK, QUEUE_ENABLED: 'true' })
    const env = addressOf(service)
    const args = ['send', '--user', 'u', '--type', 'e', '--payload', '-5']
    expect(await runCli(args, { env })).toMatchObject({ code: 0 })
    await using listener = startListening(['--user', 'u', '--cursor', '-abc:1', '--json'], env)
    expect(JSON.parse(await listener.next()).payload).toBe(-5)
    await listener.note(/^Connected as u, 1 retained; entries may be missing \(epoch_changed\)$/)
    expect(await listener.interrupt()).toBe(0)
  })

  test('prints one line a notification, and on SIGINT the last cursor, after which another one continues', async () => {
    await using service = await startService({ ...QUICK, QUEUE_ENABLED: 'true' })
    const env = addressOf(service)
    await using first = startListening(['--user', 'u', '--channels', 'a'], env)
    await first.note(/^Connected as u, 0 retained$/)
    await service.send('u', { text: 'two\nlines\u009b' })
    expect(await first.next()).toMatch(
      /^\d{4}-\d\d-\d\dT[\d:.]+Z {2}e {2}\{"text":"two\\nlines\\u009b"\} {2}[\w-]+:1$/,
    )
    await runCli(['send', '--channel', 'a', '--type', 'c', '--payload', '1.10'], { env })
    expect(await first.next()).toMatch(/Z {2}c {2}1\.10$/)
    expect(await first.interrupt()).toBe(0)
    const [, cursor = ''] = /^Last cursor: (\S+:1) /.exec(await first.note(/^Last cursor: /)) ?? []
    await service.send('u', 2)
    await using second = startListening(['--user', 'u', '--cursor', cursor, '--json'], env)
    expect(JSON.parse(await second.next())).toMatchObject({ type: 'notification', payload: 2 })
    expect(await second.interrupt()).toBe(0)
  })

  test('continues after kill -9 of the service without a loss or a repeat', async () => {
    await using place = await storePlace()
    const port = String(await freePort())
    const env = { ...QUICK, QUEUE_ENABLED: 'true', STORE_URL: place.url, SERVER_PORT: port }
    const before = await startService(env)
    await using listener = startListening(['--user', 'u', '--json'], { SERVER_PORT: port })
    await listener.note(/^Connected/)
    for (const n of [1, 2, 3]) await before.send('u', n)
    const seen: number[] = []
    while (seen.length < 3) seen.push(JSON.parse(await listener.next()).payload)
    before.signal('SIGKILL')
    await before.ended
    await listener.note(/^Disconnected, reconnecting in /)
    await using after = await startService(env)
    for (const n of [4, 5, 6]) await after.send('u', n)
    while (seen.length < 6) seen.push(JSON.parse(await listener.next()).payload)
    expect(seen).toEqual([1, 2, 3, 4, 5, 6])
    expect(await listener.interrupt()).toBe(0)
  }, 30_000)

  test('ends when the reader of its output has gone, without another notification', async () => {
    await using service = await startService({ ...QUICK, QUEUE_ENABLED: 'true' })
    const env = addressOf(service)
    await service.send('u', 1)
    const command = ['sh', '-c', '"$0" "$@" | head -1', process.execPath, 'src/main.ts']
    const args = ['listen', '--user', 'u', '--cursor', '']
    const program = { command, cwd: ROOT }
    const { code, stdout, stderr } = await runCli(args, { env, program })
    expect({ code, stdout }).toEqual({ code: 0, stdout: expect.stringMatching(/^\S+ {2}e {2}1 {2}\S+\n$/) })
    expect(stderr).toMatch(/^Connected as u, 1 retained\nLast cursor: \S+:1 /)
  })

  test('a signal ends it while the reader of its output is stuck', async () => {
    await using service = await startService({ ...QUICK, QUEUE_ENABLED: 'true' })
    for (let n = 0; n < 20; n++) await service.send('u', 'x'.repeat(20_000))
    await using place = await storePlace()
    // The shell opens the pipe for reading, too, but never reads.
    const pipe = join(place.directory, 'pipe')
    const script = `mkfifo ${pipe}; exec 9<>${pipe}; "$0" "$@" >&9 & echo "pid $!" >&2; wait $!; echo "code $?" >&2`
    const program = { command: ['sh', '-c', script, process.execPath, 'src/main.ts'], cwd: ROOT }
    const args = ['--user', 'u', '--cursor', '']
    await using listener = startListening(args, addressOf(service), program)
    const [, pid] = /^pid (\d+)/.exec(await listener.note(/^pid /)) ?? []
    await listener.note(/^Connected as u, 20 retained$/)
    process.kill(Number(pid), 'SIGTERM')
    expect(await listener.note(/^code /)).toBe('code 0')
  })

  test('a notification that cannot be written stays behind the last cursor', async () => {
    await using service = await startService({ ...QUICK, QUEUE_ENABLED: 'true' })
    const env = addressOf(service)
    await service.send('u', 1)
    const command = ['sh', '-c', 'exec "$0" "$@" > /dev/full', process.execPath, 'src/main.ts']
    const args = ['listen', '--user', 'u', '--cursor', '']
    const { code, stderr } = await runCli(args, { env, program: { command, cwd: ROOT } })
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(
        /\nLast cursor: \S+:0 [^\n]+\ncannot write to stdout: check the free space\n$/,
      ),
    })
  })

  test.each<[name: string, args: readonly string[], line: RegExp]>([
    ['a wrong token', ['--token', 'x'], /^UNAUTHORIZED: /],
    ['a bad channel', ['--user', 'u', '--channels', 'x y'], /^VALIDATION_ERROR: /],
  ])('%s ends it with exit code 1', async (_, args, line) => {
    await using service = await startService(QUICK)
    const { code, stdout, stderr } = await runCli(['listen', ...args], { env: addressOf(service) })
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(line)
  })

  test('a disconnect by the backend ends it with exit code 1', async () => {
    await using service = await startService(QUICK)
    await using listener = startListening(['--user', 'u'], addressOf(service))
    await listener.note(/^Connected/)
    await fetch(`${service.url}/api/v1/users/u/disconnect`, {
      method: 'POST',
      headers: { 'x-api-key': API_KEY },
    })
    await listener.note(/^FORBIDDEN: /)
    expect(await listener.exited).toBe(1)
  })
})
