import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { API_KEY, SECRET, startTestApp } from '../support/app.ts'
import { builtClient } from '../support/built-client.ts'
import { connectStream } from '../support/client.ts'
import { freePort } from '../support/free-port.ts'
import { anchorsOf, blocksOf, sectionOf } from '../support/markdown.ts'
import { createProject, findNode } from '../support/project.ts'

/** The declarations need a compiler. */
const BUILD_MS = 60_000
const ADDRESS = 'http://localhost:8081'
const page = await Bun.file(join(import.meta.dir, '../../docs/CLIENTS.md')).text()
const reference = sectionOf(page, '## Reference')

const codeUnder = (heading: string): string => blocksOf(sectionOf(page, heading))[0]?.text ?? ''

/** Names in the first column of the table under a heading. */
const rowsUnder = (heading: string): readonly string[] =>
  [...sectionOf(reference, heading).matchAll(/^\| `([^`]+)` \|/gm)].map(([, name = '']) => name)

async function declarationsOf(...files: readonly string[]): Promise<string> {
  const dist = await builtClient()
  const texts = await Promise.all(files.map(file => Bun.file(join(dist, `${file}.d.ts`)).text()))
  return texts.join('\n')
}

/** `readonly cursor?: string` → `cursor?` */
function membersOf(name: string, declarations: string): readonly string[] {
  const [, body = ''] =
    new RegExp(`^export (?:interface|declare class) ${name}\\b[^{]*\\{\\n([\\s\\S]*?)^\\}`, 'm').exec(
      declarations,
    ) ?? []
  return [...body.matchAll(/^ {4}(?:readonly )?(?!constructor)([\w.[\]]+\??)[(:<]/gm)].map(
    ([, member = '']) => member,
  )
}

describe('the reference has exactly the members of', () => {
  test.each([
    'ClientOptions',
    'Client',
    'ConnectionState',
    'Fault',
    'Gap',
    'Notification',
    'Metadata',
    'CursorStore',
  ])(
    '%s',
    async name => {
      expect(rowsUnder(`### \`${name}\``)).toEqual(membersOf(name, await declarationsOf('types')))
    },
    BUILD_MS,
  )

  test.each(['ServerOptions', 'ServerClient', 'TokenOptions', 'AraError', 'ErrorDetail'])(
    '%s of the server helper',
    async name => {
      const declarations = await declarationsOf('server/types', 'server/error')
      expect(rowsUnder(`### \`${name}\``)).toEqual(membersOf(name, declarations))
    },
    BUILD_MS,
  )

  test(
    'ara-client/react',
    async () => {
      const hooks = [...(await declarationsOf('react/index')).matchAll(/declare function (\w+)/g)]
      expect(rowsUnder('### `ara-client/react`')).toEqual(hooks.map(([, name = '']) => name))
    },
    BUILD_MS,
  )
})

test(
  'the reference names everything that the package exports',
  async () => {
    const text = await declarationsOf('index', 'server/index')
    const names = [...text.matchAll(/export (?:type )?\{([^}]*)\}/g)]
      .flatMap(([, list = '']) => list.split(','))
      .map(name => name.replace('type ', '').trim())
      .filter(name => name !== '')
    expect(names.length).toBeGreaterThan(20)
    expect(names.filter(name => !new RegExp(`\`${name}\\b`).test(reference))).toEqual([])
  },
  BUILD_MS,
)

test('the page names every error code of the client', async () => {
  const folder = join(import.meta.dir, '../../client/src')
  const sources = [...new Bun.Glob('*.ts').scanSync(folder)].map(path => Bun.file(join(folder, path)).text())
  const text = (await Promise.all(sources)).join('\n')
  const codes = [...text.matchAll(/(?:fault\(|code: |\d{3,4}: )'([A-Z_]+)'/g)].map(([, code = '']) => code)
  expect(codes).toContain('USER_CHANGED')
  expect(codes.filter(code => !page.includes(`\`${code}\``))).toEqual([])
})

test('links to sections that moved to PROTOCOL.md still work', () => {
  const moved = ['a-client-that-resumes', 'sse', 'several-tabs', 'react', 'without-resuming', 'curl']
  expect(moved.filter(anchor => !anchorsOf(page).has(anchor))).toEqual([])
})

test(
  'the token endpoint signs a token that the service accepts',
  async () => {
    await using service = await startTestApp({ CHANNEL_ACCESS: 'claims' })
    const port = await freePort()
    const code = codeUnder('## Token endpoint').replace('3000', String(port))
    await using project = await createProject({ 'server.js': code })
    const child = Bun.spawn([findNode(), 'server.js'], {
      cwd: project.folder,
      env: { ...process.env, JWT_SECRET: SECRET },
      stdout: 'inherit',
      stderr: 'inherit',
      timeout: 30_000,
    })
    const ask = async (): Promise<string> => {
      try {
        return await (await fetch(`http://127.0.0.1:${port}/`)).text()
      } catch {
        return ask()
      }
    }
    const token = await ask()
    child.kill()
    await child.exited
    using stream = await connectStream(`${service.url}/sse?token=${token}&channels=room.1`)
    const { data } = await stream.nextOf('connected')
    expect(data).toMatchObject({ user_id: 'u-7', channels: ['room.1'] })
  },
  BUILD_MS,
)

test(
  'the lines for a backend send a notification',
  async () => {
    await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
    const blocks = blocksOf(sectionOf(page, '## From a backend')).map(({ text }) => text)
    expect(blocks).toHaveLength(2)
    const code = `${blocks.join('').replace(ADDRESS, service.url)}console.log(status)`
    await using project = await createProject({ 'main.js': code })
    expect(await project.run('main.js', { API_KEY })).toBe('queued')
  },
  BUILD_MS,
)
