import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { join } from 'node:path'
import { version } from '../../package.json' with { type: 'json' }
import { COMMANDS } from '../../src/cli/commands.ts'
import { CERTIFICATE, PRIVATE_KEY } from '../support/certificate.ts'
import { runCli } from '../support/cli.ts'
import { storePlace } from '../support/store-file.ts'

// Each command is a process of its own: a busy machine needs seconds for several.
setDefaultTimeout(20_000)

const ROOT = new URL('../..', import.meta.url).pathname

test('--help names every command, --version tells version and commit', async () => {
  const help = await runCli(['--help'])
  expect({ code: help.code, stderr: help.stderr }).toEqual({ code: 0, stderr: '' })
  for (const name of Object.keys(COMMANDS)) expect(help.stdout).toMatch(new RegExp(`^  ${name} `, 'm'))
  for (const args of [['-h'], ['help']]) expect((await runCli(args)).stdout).toBe(help.stdout)
  expect((await runCli(['help', 'send'])).stdout).toBe((await runCli(['send', '--help'])).stdout)
  const told = await runCli(['--version'])
  const git = Bun.which('git')
  const commit = git && Bun.spawnSync([git, 'rev-parse', '--short', 'HEAD'], { cwd: ROOT }).stdout
  const { commit: shown = '', ...rest } = JSON.parse((await runCli(['--version', '--json'])).stdout)
  expect({ rest, shown }).toEqual({ rest: { version }, shown: (commit ?? '').toString().trim() })
  const suffix = shown === '' ? '' : ` (${shown})`
  expect(told.stdout).toBe(`ara-notification-service ${version}${suffix}\n`)
})

test('help fits a terminal of 80 columns', async () => {
  for (const args of [[], ...Object.keys(COMMANDS).map(name => [name])]) {
    const { stdout } = await runCli([...args, '--help'])
    expect(stdout.split('\n').filter(line => line.length > 80)).toEqual([])
  }
})

test.each(Object.entries(COMMANDS))('%s --help describes each option', async (name, { options }) => {
  const { code, stdout } = await runCli([name, '--help'])
  expect(code).toBe(0)
  expect(stdout).toStartWith(`Usage: ara-notification-service ${name}`)
  for (const option of Object.keys(options)) expect(stdout).toMatch(new RegExp(`^  --${option}\\b`, 'm'))
})

describe('wrong arguments end with exit code 2 and one line that tells what to do', () => {
  const SEND = ['send', '--type', 'e']
  const URL_OPTION = ['--url', 'http://127.0.0.1:9']
  test.each<[args: readonly string[], line: RegExp]>([
    [['bogus'], /^unknown command "bogus": expected serve, /],
    [['doktor'], /^unknown command "doktor": expected serve, .* \(did you mean doctor\?\)$/],
    [['help', 'doktor'], /^unknown command "doktor"/],
    [['--version', '--verbose'], /^unknown option --verbose$/],
    [['--bogus'], /^unknown option --bogus: expected a command before options: serve, /],
    [['health', 'now'], /^health: unexpected argument "now" \(see health --help\)$/],
    [['backup'], /^backup: expected <file>/],
    [['restore', 'a', 'b'], /^restore: unexpected argument "b"/],
    [['serve', '--port', '1'], /^serve: unknown option --port \(see serve --help\)$/],
    [['token'], /^token: expected --user/],
    [['token', '--user', '--json'], /^token: --user: expected a value, as in --user <user>/],
    [['token', '--user'], /^token: --user: expected a value/],
    [['token', '--user', 'u', '--json=yes'], /^token: --json: expected no value/],
    [['token', '--user', 'u', '--user=v'], /^token: --user: expected only once/],
    [['token', '-u', 'u'], /^token: unknown option -u/],
    [['token', '--user', ''], /^token: --user: expected 1 to 256 bytes/],
    [['token', '--user', 'u', '--ttl', 'soon'], /^token: --ttl: expected seconds, or 15m, 1h, 7d/],
    [['token', '--user', 'u', '--ttl', '0'], /^token: --ttl: .* from 1 s to 36500d/],
    [['token', '--user', 'u', '--ttl', '9999999999d'], /^token: --ttl: .* from 1 s to 36500d/],
    [['token', '--user', 'u', '--roles', 'a,,b'], /^token: --roles: expected names/],
    [['token', '--user', 'u', '--tenant', 'a b'], /^token: --tenant: expected 1 to 64/],
    [SEND, /^send: expected one of --user, --users, --channel, --channels, --broadcast/],
    [[...SEND, '--user', 'u', '--broadcast'], /^send: expected one of/],
    [['send', '--user', 'u'], /^send: expected --type/],
    [[...SEND, '--usr', 'u'], /^send: unknown option --usr: did you mean --user\?/],
    [[...SEND, '--user', 'u', '--delay', '5'], /^send: unknown option --delay \(/],
    [[...SEND, '--user', 'u', '--collapse', 'k'], /^send: unknown option --collapse \(/],
    [[...SEND, '--user', 'u', '--key', 'ü', ...URL_OPTION], /^send: --key: expected 1 to 255 visible ASCII/],
    [
      [...SEND, '--user', 'u', '--api-key', 'ключ', ...URL_OPTION],
      /^send: --api-key or API_KEY: expected ASCII/,
    ],
    [[...SEND, '--user', 'u', '--payload', '{'], /^send: --payload: expected JSON/],
    [
      [...SEND, '--user', 'u', '--payload', '@/nowhere'],
      /^send: --payload: expected a file that can be read/,
    ],
    [
      [...SEND, '--user', 'u', '--priority', 'urgent'],
      /^send: --priority: expected Low, Normal, High, Critical/,
    ],
    [[...SEND, '--user', 'u', '--url', 'localhost'], /^send: --url: expected http:\/\/host:port/],
    [[...SEND, '--user', 'u', '--url', 'http://host?'], /^send: --url: expected .* without user and query/],
    [
      [...SEND, '--user', 'u', '--url', 'http://me:pw@host'],
      /^send: --url: expected .* without user and query/,
    ],
    [[...SEND, '--user', 'u'], /^send: expected --url, because SERVER_PORT=0/],
    [['listen', ...URL_OPTION], /^listen: expected --user or --token/],
    [['listen', '--user', 'u', '--token', 't', ...URL_OPTION], /^listen: expected --user or --token/],
    [['listen', '--token', 'a\nb', ...URL_OPTION], /^listen: --token: expected ASCII/],
    [['doctor', '--verbose'], /^doctor: unknown option --verbose/],
  ])('%j', async (args, line) => {
    const { code, stdout, stderr } = await runCli(args)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr.split('\n')).toHaveLength(2)
    expect(stderr.trimEnd()).toMatch(line)
  })
})

test('serve is the default: both refuse a wrong setting with exit code 1 and the same line', async () => {
  const env = { SERVER_PORT: 'http' }
  const refused = await runCli(['serve'], { env })
  expect(refused).toEqual({ code: 1, stdout: '', stderr: expect.stringMatching(/^SERVER_PORT: [^\n]+\n$/) })
  expect(await runCli([], { env })).toEqual(refused)
})

test('without a service, commands fail with exit code 1 and one line', async () => {
  const address = ['--url', 'http://127.0.0.1:9']
  for (const args of [
    ['send', '--user', 'u', '--type', 'e', ...address],
    ['listen', '--user', 'u', ...address],
  ]) {
    const { code, stdout, stderr } = await runCli(args)
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(/^no service answers at http:\/\/127\.0\.0\.1:9 \(\w+\): start it, [^\n]*\n$/)
  }
  const { code, stderr } = await runCli(['token', '--user', 'u'], { env: { JWT_SECRET: '' } })
  expect({ code, stderr }).toEqual({
    code: 1,
    stderr: expect.stringMatching(/^JWT_SECRET is unset: [^\n]*\n$/),
  })
})

test('an answer of another program is an error', async () => {
  await using other = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response('<h1>hi</h1>') })
  const address = ['--url', `http://127.0.0.1:${other.port}`]
  for (const args of [
    ['send', '--user', 'u', '--type', 'e', ...address],
    ['listen', '--user', 'u', ...address],
  ])
    expect(await runCli(args)).toEqual({
      code: 1,
      stdout: '',
      stderr: 'HTTP 200: the answer is not from this service\n',
    })
})

test('a certificate that is not trusted is named, and trusted by NODE_EXTRA_CA_CERTS', async () => {
  await using place = await storePlace()
  const tls = { key: PRIVATE_KEY, cert: CERTIFICATE }
  const trusted = join(place.directory, 'certificate.pem')
  await Bun.write(trusted, CERTIFICATE)
  const alive = () => Response.json({ status: 'alive' })
  await using service = Bun.serve({ port: 0, hostname: '127.0.0.1', tls, fetch: alive })
  const args = ['health', '--url', `https://localhost:${service.port}`]
  expect(await runCli(args)).toEqual({
    code: 1,
    stdout: '',
    stderr: expect.stringMatching(/^the certificate of \S+ is refused \(\w+\): [^\n]+NODE_EXTRA_CA_CERTS\n$/),
  })
  expect(await runCli(args, { env: { NODE_EXTRA_CA_CERTS: trusted } })).toMatchObject({ code: 0 })
})

test('a full disk under stdout is an error', async () => {
  const command = ['sh', '-c', 'exec "$0" "$@" > /dev/full', process.execPath, 'src/main.ts']
  const program = { command, cwd: ROOT }
  for (const args of [['token', '--user', 'u'], ['--help'], ['doctor']])
    expect(await runCli(args, { program })).toEqual({
      code: 1,
      stdout: '',
      stderr: 'cannot write to stdout: check the free space\n',
    })
})

test('output to a pipe has no colours', async () => {
  expect((await runCli(['doctor'])).stdout).not.toContain('\u001b')
})
