import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { PRIVATE_FIELDS, PRIVATE_NAMES } from '../../client/build.ts'
import clientPackage from '../../client/package.json' with { type: 'json' }
import servicePackage from '../../package.json' with { type: 'json' }
import { CLIENT_MESSAGES } from '../../src/protocol/client-messages.ts'
import { SOCKET_MESSAGES, STREAM_MESSAGES } from '../../src/protocol/server-messages.ts'
import { builtClient, bundledClient } from '../support/built-client.ts'
import { createProject } from '../support/project.ts'

const ROOT = join(import.meta.dir, '../..')
const KB = 1000
/** The declarations of a package need a compiler. */
const BUILD_MS = 60_000

/** Bytes of an entry, gzipped as a web server does it. */
async function gzippedBytes(entry: string): Promise<number> {
  const file = Bun.file(join(await bundledClient(), entry))
  return Bun.gzipSync(await file.bytes(), { level: 9 }).length
}

test('the client has the version and the licence of the service, and no dependency', async () => {
  const { version, license, sideEffects } = clientPackage
  expect({ version, license, sideEffects }).toEqual({
    version: servicePackage.version,
    license: servicePackage.license,
    sideEffects: false,
  })
  expect(clientPackage).not.toHaveProperty('dependencies')
  expect(await Bun.file(join(ROOT, 'client/LICENSE')).text()).toBe(
    await Bun.file(join(ROOT, 'LICENSE')).text(),
  )
})

test(
  'ara-client is at most 5 KB, minified and gzipped',
  async () => {
    expect(await gzippedBytes('index.js')).toBeLessThanOrEqual(5 * KB)
  },
  BUILD_MS,
)

test(
  'ara-client/react is at most 1.5 KB, minified and gzipped',
  async () => {
    expect(await gzippedBytes('react/index.js')).toBeLessThanOrEqual(1.5 * KB)
  },
  BUILD_MS,
)

test(
  'the names that the build shortens are part of neither the API nor the protocol',
  async () => {
    const types = await Bun.file(join(await builtClient(), 'types.d.ts')).text()
    const isPublic = (name: string) => new RegExp(`\\b${name}\\??[:(]`).test(types)
    expect(['retryAt', ...PRIVATE_FIELDS, ...PRIVATE_NAMES].filter(isPublic)).toEqual(['retryAt'])
    const texts = JSON.stringify([CLIENT_MESSAGES, SOCKET_MESSAGES, STREAM_MESSAGES], (key, value) =>
      ['description', 'format'].includes(key) ? undefined : value,
    )
    const isOnWire = (name: string) => new RegExp(`\\b${name}\\b`).test(texts)
    expect(['notification_id', ...PRIVATE_NAMES].filter(isOnWire)).toEqual(['notification_id'])
  },
  BUILD_MS,
)

test(
  'declarations refer to nothing outside the package',
  async () => {
    const dist = await builtClient()
    const declarations = [...new Bun.Glob('**/*.d.ts').scanSync(dist)]
    expect(declarations).toContain('index.d.ts')
    for (const path of declarations) {
      const text = await Bun.file(join(dist, path)).text()
      const imported = [...text.matchAll(/from '([^']+)'/g)].map(match => match[1] ?? '')
      const missing = imported.filter(
        name => !declarations.includes(join(path, '..', name.replace(/\.js$/, '.d.ts'))),
      )
      expect({ path, missing: missing.filter(name => name !== 'react') }).toEqual({ path, missing: [] })
    }
  },
  BUILD_MS,
)

test(
  'frameworks with server components see that ara-client/react belongs to the browser',
  async () => {
    const dist = await bundledClient()
    const startOf = async (entry: string) => (await Bun.file(join(dist, entry)).text()).slice(0, 12)
    expect(await startOf('react/index.js')).toBe("'use client'")
    expect(await startOf('index.js')).not.toBe("'use client'")
  },
  BUILD_MS,
)

test(
  'a bundler leaves out the parts of the client that a page does not use',
  async () => {
    await using project = await createProject({
      'none.js': "import 'ara-client'\nimport 'ara-client/react'\nimport 'ara-client/server'",
      'some.js': "import { localCursor } from 'ara-client'\nglobalThis.cursor = localCursor",
    })
    const bundle = async (file: string): Promise<string> => {
      const entry = join(project.folder, file)
      const { outputs } = await Bun.build({ entrypoints: [entry], target: 'browser', external: ['react'] })
      return (await outputs[0]?.text()) ?? ''
    }
    expect(await bundle('none.js')).not.toContain('function')
    const some = await bundle('some.js')
    expect(some).toContain('localStorage')
    expect(some).not.toContain('WebSocket')
  },
  BUILD_MS,
)

test(
  'ara-client/server stays readable, because Node prints the line that throws',
  async () => {
    const text = await Bun.file(join(await bundledClient(), 'server/index.js')).text()
    expect(text).toContain('class AraError extends Error')
    expect(Math.max(...text.split('\n').map(line => line.length))).toBeLessThan(500)
  },
  BUILD_MS,
)
