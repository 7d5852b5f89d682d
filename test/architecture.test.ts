import { describe, expect, test } from 'bun:test'
import { dirname, join } from 'node:path'
import { ERRORS } from '../src/errors.ts'
import { METRICS } from '../src/observe/metrics.ts'
import { asyncApiDocument } from './support/asyncapi.ts'
import { envExample, metricsDocument, settingsDocument } from './support/docs.ts'
import { lateHandlers } from './support/late-handlers.ts'

const ROOT = join(import.meta.dir, '..')
/** Path from `client/src` to the types that client and service share. */
const PROTOCOL = '../../src/protocol/'
const MAX_LINES = 250

/** Levels: a part may import itself and earlier lines, but no other part of its line. */
const LEVELS = [
  ['lib'],
  ['protocol'],
  ['notification', 'errors', 'config'],
  ['hub', 'bus', 'store', 'auth', 'limit', 'observe'],
  ['dispatch', 'workers'],
  ['transport', 'trigger', 'http'],
  ['drain'],
  ['app'],
  ['serve'],
  ['command'],
  ['cli'],
  ['main'],
]

/** Parts that ask `dispatch/reach.ts` about connections, so that a bus can answer for other nodes. */
const REACH_USERS = ['http', 'trigger']

/** Path inside `src` → text. */
type Sources = ReadonlyMap<string, string>

// Search the text: a transpiler drops imports of types, which count, too.
const IMPORT = /\bfrom\s*(['"])(.+?)\1|\bimport\s*\(?\s*(['"])(.+?)\3/g

const namesIn = (text: string): readonly string[] =>
  [...text.matchAll(IMPORT)].map(match => match[2] ?? match[4] ?? '')

/** Project files that a file imports, as paths inside `src`. */
const importsOf = (file: string, text: string): readonly string[] =>
  namesIn(text)
    .filter(name => name.startsWith('.'))
    .map(name => join(dirname(file), name))

const packagesOf = (text: string): readonly string[] => namesIn(text).filter(name => !name.startsWith('.'))

/** `hub/room.ts` → `hub`, `app.ts` → `app`. */
const partOf = (file: string): string => (file.split('/', 1)[0] ?? '').replace(/\.ts$/, '')
const levelOf = (file: string): number => LEVELS.findIndex(parts => parts.includes(partOf(file)))

/** Only commands may import from outside `src`: the version in package.json. */
function mayImport(from: string, to: string): boolean {
  if (to.startsWith('../')) return ['command', 'cli'].includes(partOf(from))
  if (levelOf(from) === -1 || levelOf(to) === -1) return false
  if (partOf(to) === 'hub' && REACH_USERS.includes(partOf(from))) return false
  return partOf(from) === partOf(to) || levelOf(to) < levelOf(from)
}

const forbiddenImports = (file: string, text: string): readonly string[] =>
  importsOf(file, text).filter(imported => !mayImport(file, imported))

/** Tells whether a whole statement imports types, which the published code does not contain. */
const importsTypes = (text: string, name: string): boolean =>
  new RegExp(`^import type [^;]*?from '${RegExp.escape(name)}'`, 'm').test(text)

function forbiddenInClient(file: string, text: string): readonly string[] {
  return namesIn(text).filter(name => {
    const path = join(dirname(file), name)
    if (!name.startsWith('.')) return name !== 'react'
    return path.startsWith('..') && !(path.startsWith(PROTOCOL) && importsTypes(text, name))
  })
}

/** Finds a cycle of imports; empty if there is none. */
function cycleIn(sources: Sources): readonly string[] {
  const done = new Set<string>()
  const visit = (file: string, path: readonly string[]): readonly string[] => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file]
    if (done.has(file)) return []
    for (const next of importsOf(file, sources.get(file) ?? '')) {
      const ring = visit(next, [...path, file])
      if (ring.length > 0) return ring
    }
    done.add(file)
    return []
  }
  return [...sources.keys()].map(file => visit(file, [])).find(ring => ring.length > 0) ?? []
}

async function read(path: string): Promise<string> {
  return Bun.file(join(ROOT, path)).text()
}

async function sourcesIn(folder: string): Promise<Sources> {
  const paths = [...new Bun.Glob('**/*.ts').scanSync(join(ROOT, folder))].sort()
  return new Map(await Promise.all(paths.map(async path => [path, await read(join(folder, path))] as const)))
}

const sources = await sourcesIn('src')
const clientSources = await sourcesIn('client/src')

/** Finds these files and all files that they import, directly or not. */
function reachedFrom(files: readonly string[]): ReadonlySet<string> {
  const reached = new Set(files)
  for (const file of reached)
    for (const imported of importsOf(file, sources.get(file) ?? '')) reached.add(imported)
  return reached
}

describe('imports between folders', () => {
  test.each([...sources])('%s imports only what is below it', (file, text) => {
    expect(forbiddenImports(file, text)).toEqual([])
  })

  test('protocol needs valibot and a standard JavaScript runtime only, so that browsers can load it', () => {
    const reached = reachedFrom([...sources.keys()].filter(file => partOf(file) === 'protocol'))
    const texts = [...reached].map(file => [file, sources.get(file) ?? ''] as const)
    expect(texts.flatMap(([, text]) => packagesOf(text)).filter(name => name !== 'valibot')).toEqual([])
    expect(texts.filter(([, text]) => /\b(?:Bun|Buffer|process)\./.test(text)).map(([file]) => file)).toEqual(
      [],
    )
  })

  test.each([...clientSources])(
    'client/src/%s imports the client, and types of the protocol',
    (file, text) => {
      expect(forbiddenInClient(file, text)).toEqual([])
    },
  )

  test.each<[file: string, text: string, forbidden: readonly string[]]>([
    [
      'links.ts',
      `import { CLOSES } from '../../src/protocol/close-codes.ts'`,
      ['../../src/protocol/close-codes.ts'],
    ],
    ['links.ts', `import type { Clock } from '../../src/lib/time/clock.ts'`, ['../../src/lib/time/clock.ts']],
    ['links.ts', `import { join } from 'node:path'`, ['node:path']],
  ])('the check of the client finds the fault in %s: %j', (file, text, forbidden) => {
    expect(forbiddenInClient(file, text)).toEqual(forbidden)
  })

  test('imports have no cycle', () => {
    expect(cycleIn(sources)).toEqual([])
    expect(cycleIn(clientSources)).toEqual([])
  })

  test.each<[file: string, text: string, forbidden: readonly string[]]>([
    ['hub/hub.ts', `import { memoryStore } from '../store/memory.ts'`, ['store/memory.ts']],
    [
      'http/routes/me.ts',
      `import { createSessions } from '../../transport/session.ts'`,
      ['transport/session.ts'],
    ],
    ['errors.ts', `import { ConfigError } from './config.ts'`, ['config.ts']],
    ['lib/clock.ts', `import type { Topic } from '../notification/topic.ts'`, ['notification/topic.ts']],
    ['protocol/values.ts', `import { AppError } from '../errors.ts'`, ['errors.ts']],
    ['hub/room.ts', `const api = await import('../http/api.ts')`, ['http/api.ts']],
    ['dispatch/crowd.ts', `import "../app.ts"`, ['app.ts']],
    ['store/store.ts', `export type { Frame } from "../dispatch/frame.ts"`, ['dispatch/frame.ts']],
    ['store/store.ts', `import {\n  a,\n  type B,\n} from '../transport/sse.ts'`, ['transport/sse.ts']],
    ['http/routes/users.ts', `import type { Hub } from '../../hub/hub.ts'`, ['hub/hub.ts']],
    ['app.ts', `import { version } from '../package.json'`, ['../package.json']],
    ['app.ts', `import { odd } from './attic/odd.ts'`, ['attic/odd.ts']],
    ['attic/odd.ts', `import { odd } from './even.ts'`, ['attic/even.ts']],
  ])('the check finds the fault in %s: %j', (file, text, forbidden) => {
    expect(forbiddenImports(file, text)).toEqual(forbidden)
  })

  test.each<[file: string, text: string]>([
    ['hub/hub.ts', `import { Room } from './room.ts'\nimport type { Topic } from '../notification/topic.ts'`],
    ['http/api.ts', `import { Elysia } from 'elysia'\nimport { join } from 'node:path'`],
    ['command.ts', `import { version } from '../package.json' with { type: 'json' }`],
  ])('the check accepts %s: %j', (file, text) => {
    expect(forbiddenImports(file, text)).toEqual([])
  })

  test('the check finds a cycle', () => {
    const ring = new Map([
      ['hub/a.ts', `import { b } from './b.ts'`],
      ['hub/b.ts', `import type { C } from './c.ts'`],
      ['hub/c.ts', `import { b } from './b.ts'`],
    ])
    expect(cycleIn(ring)).toEqual(['hub/b.ts', 'hub/c.ts', 'hub/b.ts'])
  })
})

describe('promises of tests have handlers before the test waits for another promise (`awaitedLater`)', () => {
  test('in all files', async () => {
    const found = [...(await sourcesIn('test'))].flatMap(([file, text]) =>
      lateHandlers(text).map(({ line, name }) => `test/${file}:${line} ${name}`),
    )
    expect(found).toEqual([])
  })

  test.each<[text: string]>([
    ['const sending = send(1)\nawait wait()\nawait sending'],
    ['const sending = send(1)\nexpect(await get()).toBe(1)\nexpect((await sending).status).toBe(200)'],
    ['const sending = [send(1), send(2)]\nfor (const n of [3, 4]) await send(n)\nawait Promise.all(sending)'],
    ['const [sending, other] = [send(1), send(2)]\nawait other\nreturn sending'],
    [
      'const sending =\n  n > 1\n    ? send(1)\n    : send(2)\nawait wait()\nawait expect(sending).rejects.toThrow()',
    ],
    [
      "const sending = (async () => {\n  await send(1)\n})()\nawait wait('sending')\nawait sending.catch(none)",
    ],
  ])('the check finds the fault in %j', text => {
    expect(lateHandlers(text)).toMatchObject([{ line: 1, name: 'sending' }])
  })

  test.each<[text: string]>([
    ['const sending = awaitedLater(send(1))\nawait wait()\nawait sending'],
    ['const sending = send(1).catch(error => String(error))\nawait wait()\nawait sending'],
    ['const sending = send(1)\nconst other = async () => {\n  await wait()\n}\nawait sending'],
    ['const all = Promise.allSettled([send(1), send(2)])\nawait wait()\nawait all'],
    ['const client = connect()\nawait wait()\nawait client.closed'],
    ['const { closed } = client\nconst token = await sign()\nawait closed'],
    ['const send = (n: number) => post(n)\nawait wait()\nawait send(1)'],
  ])('the check accepts %j', text => {
    expect(lateHandlers(text)).toEqual([])
  })
})

test.each([...sources, ...clientSources])(`%s has at most ${MAX_LINES} lines`, (_, text) => {
  expect(text.trimEnd().split('\n').length).toBeLessThanOrEqual(MAX_LINES)
})

describe('documents match the code (`bun run docs` writes the generated ones)', () => {
  test('.env.example', async () => {
    expect(await read('.env.example')).toBe(envExample())
  })

  test('docs/SETTINGS.md', async () => {
    expect(await read('docs/SETTINGS.md')).toBe(settingsDocument())
  })

  test('docs/asyncapi.yaml', async () => {
    expect(await read('docs/asyncapi.yaml')).toBe(asyncApiDocument())
  })

  test('docs/METRICS.md', async () => {
    expect(await read('docs/METRICS.md')).toBe(metricsDocument())
  })

  test('docs/OPERATIONS.md queries only existing metrics', async () => {
    const named = (await read('docs/OPERATIONS.md')).match(/\b(?:ara|process)_[a-z_]+/g) ?? []
    expect(named.length).toBeGreaterThan(20)
    expect(named.map(name => name.replace(/_bucket$/, '')).filter(name => !(name in METRICS))).toEqual([])
  })

  test.each(Object.keys(ERRORS))('docs/API.md names %s', async code => {
    expect(await read('docs/API.md')).toContain(`\`${code}\``)
  })
})
