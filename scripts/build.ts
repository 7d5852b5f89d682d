import { rm, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join, resolve } from 'node:path'

/** `bun scripts/build.ts [file]`: the whole service in one executable that needs neither Bun nor packages. */

const ROOT = join(import.meta.dir, '..')
const [outfile = join(ROOT, 'dist/ara-notification-service')] = process.argv
  .slice(2)
  .map(path => resolve(path))

// A worker is an entry of its own, or the executable would look for its file. All entries lie side by side in it, so that
// `new URL('./x-worker.ts', import.meta.url)` finds a worker from any folder.
const workers = [...new Bun.Glob('src/**/*-worker.ts').scanSync(ROOT)].sort()
const entries = ['src/main.ts', ...workers]

// The ES modules of these load gRPC by `createRequire`, which no bundler sees; their CommonJS builds can be bundled.
const AS_COMMONJS = /^@opentelemetry\/(?:exporter-(?:trace|metrics|logs)-otlp-grpc|otlp-grpc-exporter-base)$/
const commonJs: Bun.BunPlugin = {
  name: 'commonjs',
  setup: build => {
    build.onResolve({ filter: AS_COMMONJS }, ({ path, importer }) => ({
      path: createRequire(importer).resolve(path),
    }))
  },
}

const { outputs } = await Bun.build({
  entrypoints: entries.map(path => join(ROOT, path)),
  naming: { entry: '[name].[ext]' },
  format: 'esm',
  plugins: [commonJs],
  minify: true,
  bytecode: true,
  // The entry is a chunk of its own, which handles signals before the rest is read.
  splitting: true,
  sourcemap: 'linked',
  // A bunfig.toml that happens to lie where the service is started is none of its business; a .env is.
  compile: { outfile, autoloadBunfig: false },
})

// Embedded as well: a stack names files and lines without them.
for (const { path, kind } of outputs)
  if (kind === 'sourcemap') await rm(join(dirname(outfile), basename(path)))

const { size } = await stat(outfile)
console.log(`${outfile}: ${Math.round(size / 1e6)} MB from ${entries.join(', ')}`)
