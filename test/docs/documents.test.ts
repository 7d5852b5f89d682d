import { describe, expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { anchorsOf, type Block, blocksOf, filesOf, linksOf, sectionOf } from '../support/markdown.ts'

const ROOT = join(import.meta.dir, '../..')

const documents = ['*.md', 'docs/**/*.md', 'k6/*.md', 'client/*.md', 'examples/**/*.md']
  .flatMap(pattern => [...new Bun.Glob(pattern).scanSync(ROOT)])
  .sort()
const read = (file: string): Promise<string> => Bun.file(join(ROOT, file)).text()

/** Finds why `docs/API.md#errors` leads nowhere; undefined if it leads somewhere. */
async function faultOf(from: string, file: string, anchor: string | undefined): Promise<string | undefined> {
  const target = file === '' ? from : join(dirname(from), file)
  if (!existsSync(join(ROOT, target))) return `${target} is not there`
  if (anchor === undefined || !target.endsWith('.md')) return undefined
  return anchorsOf(await read(target)).has(anchor) ? undefined : `${target} has no #${anchor}`
}

const FOLDERS = ['src', 'client/src', 'test', 'scripts', 'k6', 'docs', 'examples']
const FILE = /^\w[\w.-]*(?:\/[\w.-]+)*\.(?:ts|lua|md|yaml|json)$/
const FOLDER = new RegExp(`^(?:${FOLDERS.join('|')})(?:/[\\w-]+)*/?$`)
const files = ['*', 'client/*', ...FOLDERS.map(folder => `${folder}/**/*`)].flatMap(pattern => [
  ...new Bun.Glob(pattern).scanSync(ROOT),
])

/** Accepts `src/app.ts`, the end of a path such as `app.ts`, and the folder `src`. */
const exists = (path: string): boolean =>
  files.some(file => `/${file}`.endsWith(`/${path}`) || file.startsWith(path.replace(/\/?$/, '/')))

/** Returns the paths in backticks that lead nowhere. Routes begin with a slash and are not paths. */
const missingPaths = (text: string): readonly string[] =>
  [...text.matchAll(/`([^`\s]+)`/g)]
    .map(([, path = '']) => path)
    .filter(path => FILE.test(path) || FOLDER.test(path))
    .filter(path => !exists(path))

/** Splits a block with one message per line, and removes ellipses. */
const jsonTexts = (text: string): readonly string[] =>
  text
    .trim()
    .split(/\n(?=\{)/)
    .map(part => part.replaceAll(/,"…"|,…/g, ''))

const READERS: Readonly<Record<string, (text: string) => void>> = {
  json: text => {
    for (const part of jsonTexts(text)) JSON.parse(part)
  },
  js: text => void new Bun.Transpiler({ loader: 'js' }).transformSync(text),
  yaml: text => void Bun.YAML.parse(text),
}

function canBeRead({ language, text }: Block): boolean {
  try {
    READERS[language]?.(text)
    return true
  } catch {
    return false
  }
}

describe.each(documents)('%s', file => {
  test('every link leads somewhere', async () => {
    const faults = await Promise.all(
      linksOf(await read(file)).map(link => faultOf(file, link.file, link.anchor)),
    )
    expect(faults.filter(fault => fault !== undefined)).toEqual([])
  })

  test('every code block parses in its language', async () => {
    expect(blocksOf(await read(file)).filter(block => !canBeRead(block))).toEqual([])
  })
})

describe.each(['CONTRIBUTING.md', 'docs/ARCHITECTURE.md'])('%s', file => {
  test('every file and folder that it names exists', async () => {
    expect(missingPaths(await read(file))).toEqual([])
  })
})

/** Files in `test` that run the code of a document, by heading. */
const RUNNERS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'README.md': {
    'Your first notification': 'browser/tour.test.ts',
    'Keep what you send': 'browser/tour.test.ts',
    'A token for each user': 'docs/tour.test.ts',
  },
  'docs/CLIENTS.md': {
    'Six lines': 'browser/clients.test.ts',
    'Token endpoint': 'docs/clients.test.ts',
    Channels: 'browser/clients.test.ts',
    'Cursor and reload': 'browser/clients.test.ts',
    'A list that survives a reload': 'browser/clients.test.ts',
    Gaps: 'browser/clients.test.ts',
    'Handlers and acknowledgement': 'browser/clients.test.ts',
    'Connection state': 'browser/clients.test.ts',
    'From a backend': 'docs/clients.test.ts',
  },
  'docs/PROTOCOL.md': {
    'On the wire': 'docs/own-client.test.ts',
    'A client that resumes': 'support/samples.ts',
    SSE: 'support/samples.ts',
    'Several tabs': 'support/samples.ts',
    'A list that survives a reload': 'support/samples.ts',
    React: 'support/samples.ts',
    curl: 'docs/own-client.test.ts',
  },
  'docs/clients/moving.md': {
    'From Socket.IO': 'browser/moving.test.ts',
    'From Pusher': 'browser/moving.test.ts',
    'From EventSource': 'browser/moving.test.ts',
  },
}

/** Commands for people: they install packages, or run all tests. */
const BY_HAND = ['Two commands', 'Install']

const headingsWithCode = (text: string): readonly string[] =>
  [...text.matchAll(/^## (.+)$/gm)]
    .map(([, heading = '']) => heading)
    .filter(heading => blocksOf(sectionOf(text, `## ${heading}`)).length > 0)

test.each(Object.entries(RUNNERS))('a test runs the code of each section of %s', async (file, runners) => {
  const headings = headingsWithCode(await read(file)).filter(heading => !BY_HAND.includes(heading))
  expect(headings).toEqual(Object.keys(runners))
  for (const [heading, runner] of Object.entries(runners))
    expect(await read(join('test', runner))).toContain(heading)
})

test.each(['plain', 'react', 'vue', 'svelte'])(
  'each code block of docs/clients/%s.md is a file of the project that tests build',
  async name => {
    const text = await read(`docs/clients/${name}.md`)
    const blocks = blocksOf(text).filter(({ language }) => language !== 'sh')
    expect(blocks.map(block => block.text)).toEqual(Object.values(filesOf(text)))
  },
)

test('the README in Chinese has the code of the README', async () => {
  const codeOf = async (file: string) =>
    blocksOf(await read(file))
      .filter(({ language }) => ['html', 'js', 'python', 'php'].includes(language))
      .map(({ text }) => text.replace(/placeholder="[^"]*"/, ''))
  expect(await codeOf('README.zh-TW.md')).toEqual(await codeOf('README.md'))
})

test('each decision record has a number of its own, which its title repeats', async () => {
  const records = documents.filter(file => file.startsWith('docs/adr/'))
  const numbers = records.map(file => Number(/(\d{4})-/.exec(file)?.[1]))
  expect(numbers.filter((number, n) => numbers.indexOf(number) !== n)).toEqual([])
  const titles = await Promise.all(records.map(read))
  expect(titles.map(text => Number(/^# (\d+)\. /.exec(text)?.[1]))).toEqual(numbers)
})

describe('the checks themselves', () => {
  test('a link to a missing file or heading is reported', async () => {
    expect(await faultOf('README.md', 'docs/NOWHERE.md', undefined)).toBe('docs/NOWHERE.md is not there')
    expect(await faultOf('docs/API.md', '', 'nowhere')).toBe('docs/API.md has no #nowhere')
    expect(await faultOf('docs/API.md', 'OPERATIONS.md', 'health')).toBeUndefined()
  })

  test('a missing file or folder is reported', () => {
    const text =
      '`src/app.ts`, `dispatch/delivery.ts`, `src/store/`, `test/http`, `/docs`, `nowhere.ts`, `src/nowhere`'
    expect(missingPaths(text)).toEqual(['nowhere.ts', 'src/nowhere'])
  })

  test('a block of invalid JSON, JavaScript or YAML is reported', () => {
    expect(canBeRead({ language: 'json', text: '{"a":}' })).toBe(false)
    expect(canBeRead({ language: 'json', text: '{"a":"…"}\n{"b":1}' })).toBe(true)
    expect(canBeRead({ language: 'js', text: 'const = 1' })).toBe(false)
    expect(canBeRead({ language: 'js', text: 'const a = 1' })).toBe(true)
    expect(canBeRead({ language: 'yaml', text: 'a: [1' })).toBe(false)
    expect(canBeRead({ language: 'yaml', text: 'a: 1\n---\nb: 2' })).toBe(true)
  })
})
