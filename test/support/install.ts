import { ADVICE as BROWSER_ADVICE, findBrowser } from './browser.ts'
import { findHaproxy, ADVICE as HAPROXY_ADVICE } from './haproxy.ts'
import { LANGUAGES } from './languages.ts'
import { findNginx, ADVICE as NGINX_ADVICE, unpackNginx } from './nginx.ts'
import { hasPythonClient, installPythonClient, ADVICE as PYTHON_ADVICE } from './python-client.ts'
import { hasRedisServer, ADVICE as REDIS_ADVICE } from './redis-server.ts'
import { hasStrace, ADVICE as STRACE_ADVICE } from './strace.ts'

/** `bun test/support/install.ts` installs the programs of the tests with apt-get. It prints nothing if all exist. */

interface Wanted {
  readonly package: string
  readonly present: () => boolean
  /** Advice for a missing program: the command to type. */
  readonly advice: string
}

const WANTED: readonly Wanted[] = [
  { package: 'redis-tools', present: hasRedisServer, advice: REDIS_ADVICE },
  {
    package: 'chromium-headless-shell',
    present: () => findBrowser() !== undefined,
    advice: BROWSER_ADVICE,
  },
  {
    package: 'curl',
    present: () => Bun.which('curl') !== null,
    advice: 'Tests need curl: type "apt-get install -y curl".',
  },
  { package: 'strace', present: hasStrace, advice: STRACE_ADVICE },
  { package: 'haproxy', present: () => findHaproxy() !== undefined, advice: HAPROXY_ADVICE },
  {
    package: 'python3-venv',
    present: () => hasPythonClient() || Bun.which('python3') !== null,
    advice: PYTHON_ADVICE,
  },
  {
    package: 'python3',
    present: () => LANGUAGES.python.find() !== undefined,
    advice: LANGUAGES.python.advice,
  },
  { package: 'php-cli', present: () => LANGUAGES.php.find() !== undefined, advice: LANGUAGES.php.advice },
]
const INSTALL = ['install', '-y', '--no-install-recommends']
const INSTALL_MS = 300_000

/** Runs as root, or through sudo without a password. */
function runAsRoot(...command: readonly string[]): boolean {
  const sudo = process.getuid?.() === 0 ? [] : ['sudo', '-n']
  try {
    const { success } = Bun.spawnSync([...sudo, ...command], {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      stdin: 'ignore',
      stdout: 'ignore',
      stderr: 'ignore',
      timeout: INSTALL_MS,
    })
    return success
  } catch {
    return false
  }
}

const missing = (): readonly Wanted[] => WANTED.filter(({ present }) => !present())
const packages = (): readonly string[] => missing().map(wanted => wanted.package)

if (missing().length > 0) {
  console.log(`Installing ${packages().join(', ')}, which the tests use.`)
  if (!runAsRoot('apt-get', ...INSTALL, ...packages()) && runAsRoot('apt-get', 'update'))
    // Install each package alone: an unknown one must not block the others.
    for (const name of packages()) runAsRoot('apt-get', ...INSTALL, name)
  for (const { advice } of missing()) console.log(advice)
}

if (findNginx() === undefined) await unpackNginx()
if (findNginx() === undefined && runAsRoot('apt-get', 'update')) await unpackNginx()
if (findNginx() === undefined) console.log(NGINX_ADVICE)

if (!hasPythonClient()) {
  console.log('Installing openapi-python-client, which the tests use.')
  if (!installPythonClient()) console.log(PYTHON_ADVICE)
}
