import { cp, mkdtemp, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { minify } from 'terser'
import { exports as entries, name, version } from './package.json' with { type: 'json' }
import type { Effects, Events, State } from './src/connection-state.ts'
import type { Fate } from './src/inbox.ts'

/**
 * `bun client/build.ts` builds `client/dist`. `bun client/build.ts pack [folder]` also makes the tarball of the
 * package there, `dist` by default.
 */

const ROOT = join(import.meta.dir, '..')
const CLIENT = import.meta.dir
const USE_CLIENT = "'use client'"

/** `./dist/react/index.js` → `react/index` */
const names = Object.values(entries).map(entry => entry.default.replace(/^\.\/dist\/(.*)\.js$/, '$1'))

async function run(command: readonly string[], cwd: string): Promise<void> {
  const child = Bun.spawn([process.execPath, ...command], { cwd, stdout: 'pipe', stderr: 'pipe' })
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  if (code !== 0) throw new Error(`${command.join(' ')}: ${out}${err}`)
}

/** Replaces a file that differs, at once: a program that reads it meanwhile finds the old or the new one. */
async function replaceFile(path: string, text: string): Promise<void> {
  const file = Bun.file(path)
  if ((await file.exists()) && (await file.text()) === text) return
  const written = `${path}.${process.pid}`
  await Bun.write(written, text)
  await rename(written, path)
}

/** Long names of fields that never leave the client: neither for its users nor on the wire. The build shortens them. */
export const PRIVATE_FIELDS: readonly string[] = [
  'asked',
  'attended',
  'blocked',
  'changed',
  'eventTypes',
  'failures',
  'flush',
  'greet',
  'handle',
  'iterate',
  'joined',
  'listeners',
  'notBefore',
  'phase',
  'refusals',
  'refused',
  'release',
  'renewal',
  'restart',
  'retryAfterMs',
  'shown',
  'silenceMs',
]

/** Names of events, effects and phases: texts that never leave the client. The build shortens them, too. */
export const PRIVATE_NAMES = [
  'again',
  'ask',
  'asking',
  'deliver',
  'drop',
  'ended',
  'failed',
  'link',
  'main',
  'noToken',
  'open',
  'opening',
  'received',
  'renew',
  'standby',
  'start',
  'time',
  'wake',
  'want',
] satisfies (keyof Events | keyof Effects | State['phase'] | State['renewal'] | Fate)[]

/** Makes one letter of each private name, wherever it stands: no other word of the client is one capital letter. */
function shortenNames(code: string): string {
  const all: readonly string[] = PRIVATE_NAMES
  const letterOf = (name: string) => String.fromCharCode(90 - all.indexOf(name))
  return code.replace(new RegExp(`\\b(?:${all.join('|')})\\b`, 'g'), letterOf)
}

/** Makes code for browsers small. Terser makes it a twelfth smaller than the bundler alone. */
async function shorten(text: string): Promise<string> {
  const { code = '' } = await minify(shortenNames(text), {
    module: true,
    ecma: 2020,
    // Unsafe only for code that replaces built-in functions or uses `this`.
    compress: {
      passes: 3,
      hoist_funs: true,
      pure_getters: true,
      unsafe: true,
      unsafe_arrows: true,
      unsafe_math: true,
      // Conditions as they are written repeat more.
      booleans: false,
    },
    mangle: { properties: { builtins: true, regex: new RegExp(`^(?:${PRIVATE_FIELDS.join('|')})$`) } },
  })
  return code
}

/** Bundles each entry into one file. The entry for servers stays readable: Node prints the line that throws. */
export async function bundleClient(outdir: string): Promise<void> {
  for (const name of names) {
    const isForServers = name.startsWith('server/')
    const { outputs } = await Bun.build({
      entrypoints: [join(CLIENT, 'src', `${name}.ts`)],
      target: 'browser',
      packages: 'external',
      minify: { syntax: !isForServers },
    })
    const text = (await outputs[0]?.text()) ?? ''
    const code = isForServers ? text : await shorten(text)
    // Bundlers drop the mark of modules that must not run on servers.
    const source = await Bun.file(join(CLIENT, 'src', `${name}.ts`)).text()
    await replaceFile(
      join(outdir, `${name}.js`),
      source.startsWith(USE_CLIENT) ? `${USE_CLIENT};${code}` : code,
    )
  }
}

/** Files that a declaration imports, as paths beside it: `./types.ts` → `./types`. */
const importsOf = (text: string): readonly string[] =>
  [...text.matchAll(/from '(\.[^']*)\.ts'/g)].map(match => match[1] ?? '')

/** Copies the declarations that the entries reach. Node resolves `./types.js` to `./types.d.ts`. */
async function declare(outdir: string): Promise<void> {
  const emitted = await mkdtemp(join(tmpdir(), 'declarations-'))
  try {
    await run(['node_modules/typescript/bin/tsc', '-p', 'client', '--outDir', emitted], ROOT)
    const reached = new Set(names)
    for (const name of reached) {
      const text = await Bun.file(join(emitted, 'client/src', `${name}.d.ts`)).text()
      for (const imported of importsOf(text)) reached.add(join(dirname(name), imported))
      await replaceFile(join(outdir, `${name}.d.ts`), text.replace(/from '(\.[^']*)\.ts'/g, "from '$1.js'"))
    }
  } finally {
    await rm(emitted, { recursive: true })
  }
}

/** Builds what the package publishes into a folder. */
export async function buildClient(outdir: string): Promise<void> {
  await Promise.all([bundleClient(outdir), declare(outdir)])
}

/** Builds the client, makes its tarball in a folder and returns its path. */
async function packClient(folder: string): Promise<string> {
  const staged = await mkdtemp(join(tmpdir(), 'package-'))
  try {
    for (const file of ['package.json', 'README.md', 'LICENSE'])
      await cp(join(CLIENT, file), join(staged, file))
    await buildClient(join(staged, 'dist'))
    await run(['pm', 'pack', '--destination', resolve(folder), '--quiet'], staged)
    return join(resolve(folder), `${name}-${version}.tgz`)
  } finally {
    await rm(staged, { recursive: true })
  }
}

if (import.meta.main) {
  const [command, folder = join(ROOT, 'dist')] = process.argv.slice(2)
  if (command === 'pack') console.log(await packClient(folder))
  else await buildClient(join(CLIENT, 'dist'))
}
