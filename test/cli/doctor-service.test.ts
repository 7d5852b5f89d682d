import { Database } from 'bun:sqlite'
import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { generateKeyPairSync } from 'node:crypto'
import { readdir, symlink } from 'node:fs/promises'
import { API_KEY, SECRET } from '../support/app.ts'
import { connectStream } from '../support/client.ts'
import { faults } from '../support/doctor.ts'
import { freePort } from '../support/free-port.ts'
import { startService } from '../support/service.ts'
import { storePlace } from '../support/store-file.ts'

// Each command is a process of its own: a busy machine needs seconds for several.
setDefaultTimeout(20_000)

const QUICK = { DRAIN_SECONDS: '0' }

describe('a service that differs from the settings of the shell', () => {
  test('another program at --url is one failure', async () => {
    await using other = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => Response.json({ ok: 1 }) })
    expect(await faults({}, ['--url', `http://127.0.0.1:${other.port}`])).toEqual({
      code: 1,
      lines: [expect.stringMatching(/^fail {2}health .*not from this service\. To do: correct the address/)],
    })
  })

  test('no service at --url is one failure', async () => {
    const url = `http://127.0.0.1:${await freePort()}`
    expect(await faults({}, ['--url', url])).toEqual({
      code: 1,
      lines: [
        `fail  health        no service answers at ${url} (ECONNREFUSED). To do: start it, or give its address with --url`,
      ],
    })
  })

  test('keys that are bound to tenants are used with their tenant', async () => {
    const env = { ...QUICK, API_KEY: '', TENANT_ENABLED: 'true', TENANT_API_KEYS: `acme:${API_KEY}` }
    await using service = await startService(env)
    expect(await faults({ ...env, SERVER_PORT: String(service.port) })).toEqual({ code: 0, lines: [] })
  })

  test('an INTERNAL_PORT hides the health from --url', async () => {
    await using service = await startService({ ...QUICK, INTERNAL_PORT: String(await freePort()) })
    expect(await faults({}, ['--url', service.url])).toEqual({
      code: 0,
      lines: [expect.stringMatching(/^warn {2}health .*not served at .* To do: with INTERNAL_PORT run/)],
    })
  })

  test('tokens that are signed elsewhere are not tried', async () => {
    const { publicKey } = generateKeyPairSync('ed25519')
    const pem = publicKey.export({ type: 'spki', format: 'pem' }).toString().replaceAll('\n', '\\n')
    const env = { ...QUICK, JWT_SECRET: '', JWT_PUBLIC_KEY: pem }
    await using service = await startService(env)
    expect(await faults({ ...env, SERVER_PORT: String(service.port) })).toEqual({
      code: 0,
      lines: [expect.stringMatching(/^warn {2}token .*signed elsewhere\. To do: .*listen --token/)],
    })
  })

  test('a service without room for another connection', async () => {
    const env = { ...QUICK, WEBSOCKET_MAX_CONNECTIONS: '1' }
    await using service = await startService(env)
    using stream = await connectStream(`${service.url}/sse?token=${await service.token('u')}`)
    await stream.nextOf('connected')
    expect(await faults({ ...env, SERVER_PORT: String(service.port) })).toEqual({
      code: 1,
      lines: [
        expect.stringMatching(/^fail {2}token .*CONNECTION_LIMIT: .* To do: try again later, or raise/),
      ],
    })
  })
})

test('a store file that another process has open, while no service answers', async () => {
  await using place = await storePlace()
  const env = { ...QUICK, QUEUE_ENABLED: 'true', STORE_URL: place.url }
  await using service = await startService(env)
  expect(await faults({ ...env, SERVER_PORT: String(await freePort()) })).toEqual({
    code: 1,
    lines: [expect.stringMatching(/^fail {2}store file .*open in another process.* To do: end that process/)],
  })
  expect(await faults({ ...env, SERVER_PORT: String(service.port) })).toEqual({ code: 0, lines: [] })
})

test('the store of a stopped service stays as it is, and no file appears beside it', async () => {
  await using place = await storePlace()
  const env = { ...QUICK, QUEUE_ENABLED: 'true', STORE_URL: place.url }
  await using service = await startService(env)
  await service.send('u', 1)
  service.signal('SIGTERM')
  await service.ended
  const before = { names: await readdir(place.directory), content: await Bun.file(place.path).bytes() }
  expect(await faults(env)).toEqual({ code: 0, lines: [] })
  const after = { names: await readdir(place.directory), content: await Bun.file(place.path).bytes() }
  expect(after).toEqual(before)
})

describe('a STORE_URL that names', () => {
  test('a directory, or a file as a directory', async () => {
    await using place = await storePlace()
    await Bun.write(place.path, '')
    for (const path of [place.directory, `${place.path}/ara.db`])
      expect(await faults({ QUEUE_ENABLED: 'true', STORE_URL: `sqlite:${path}` })).toEqual({
        code: 1,
        lines: [expect.stringMatching(/^fail {2}store file .* cannot be a file\. To do: name a file/)],
      })
  })

  test('a link into a directory that is missing', async () => {
    await using place = await storePlace()
    await symlink('/nowhere/ara.db', place.path)
    expect(await faults({ QUEUE_ENABLED: 'true', STORE_URL: place.url })).toEqual({
      code: 1,
      lines: [expect.stringMatching(/^fail {2}store file .*\/nowhere does not exist\. To do: create it/)],
    })
  })

  test('a database of another program, or one that another program has locked', async () => {
    await using place = await storePlace()
    using db = new Database(place.path)
    db.run('CREATE TABLE other (a)')
    const env = { QUEUE_ENABLED: 'true', STORE_URL: place.url }
    const line = /^fail {2}store file .* To do: correct STORE_URL: the file belongs to another program$/
    expect(await faults(env)).toEqual({ code: 1, lines: [expect.stringMatching(line)] })
    db.run('PRAGMA locking_mode = EXCLUSIVE')
    db.run('PRAGMA journal_mode = WAL')
    db.run('BEGIN EXCLUSIVE')
    expect(await faults(env)).toEqual({
      code: 1,
      lines: [expect.stringMatching(/^fail {2}store file .* To do: end the program that has it open/)],
    })
  })
})

test('a SERVER_HOST that is no address of this machine', async () => {
  const env = { SERVER_HOST: '192.0.2.1', SERVER_PORT: String(await freePort()) }
  expect(await faults(env)).toEqual({
    code: 1,
    lines: [expect.stringMatching(/^fail {2}port .*cannot listen .*\. To do: correct SERVER_HOST$/)],
  })
})

test('a service that is stopped by a signal accepts connections, but does not answer', async () => {
  await using service = await startService(QUICK)
  service.signal('SIGSTOP')
  const { code, lines } = await faults({ SERVER_PORT: String(service.port) })
  service.signal('SIGCONT')
  expect({ code, lines }).toEqual({
    code: 1,
    lines: [expect.stringMatching(/^fail {2}port .*does not answer\. To do: look at the log/)],
  })
})

test('a secret that is missing or short', async () => {
  expect(await faults({ JWT_SECRET: '' })).toEqual({
    code: 0,
    lines: [expect.stringMatching(/^warn {2}settings .*JWT_SECRET is unset: .* To do: set it to 32 random/)],
  })
  expect(await faults({ JWT_SECRET: 'short' })).toEqual({
    code: 0,
    lines: [
      expect.stringMatching(
        /^warn {2}settings .*JWT_SECRET is under 32 bytes: .* To do: correct JWT_SECRET /,
      ),
    ],
  })
  expect(await faults({ JWT_SECRET: SECRET })).toEqual({ code: 0, lines: [] })
})
