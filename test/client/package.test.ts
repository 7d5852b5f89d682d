import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { PRIVATE_FIELDS } from '../../client/build.ts'
import clientPackage from '../../client/package.json' with { type: 'json' }
import servicePackage from '../../package.json' with { type: 'json' }
import { builtClient } from '../support/built-client.ts'

const ROOT = join(import.meta.dir, '../..')
const KB = 1000
/** The declarations of a package need a compiler. */
const BUILD_MS = 60_000

/** Bytes of an entry, gzipped as a web server does it. */
async function gzippedBytes(entry: string): Promise<number> {
  const file = Bun.file(join(await builtClient(), entry))
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
  'the fields that the build shortens are not part of the API',
  async () => {
    const types = await Bun.file(join(await builtClient(), 'types.d.ts')).text()
    const isPublic = (name: string) => new RegExp(`\\b${name}\\??[:(]`).test(types)
    expect(['retryAt', ...PRIVATE_FIELDS].filter(isPublic)).toEqual(['retryAt'])
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
