import { existsSync } from 'node:fs'
import { rm, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join, resolve } from 'node:path'

/**
 * `bun scripts/build.ts [file] [commit]` builds one executable that needs neither Bun nor packages. `--version` shows the
 * commit; by default it is that of the Git repository.
 */

const ROOT = join(import.meta.dir, '..')
const [file = join(ROOT, 'dist/ara-notification-service'), givenCommit] = process.argv.slice(2)
const outfile = resolve(file)

function commitOfRepository(): string {
  if (!existsSync(join(ROOT, '.git')) || Bun.which('git') === null) return ''
  const { exitCode, stdout } = Bun.spawnSync(['git', 'rev-parse', '--short', 'HEAD'], { cwd: ROOT })
  return exitCode === 0 ? stdout.toString().trim() : ''
}

// Each worker is an entry: otherwise the executable looks for its file. Entries lie side by side, so that
// `new URL('./x-worker.ts', import.meta.url)` finds a worker from any folder.
const workers = [...new Bun.Glob('src/**/*-worker.ts').scanSync(ROOT)].sort()
const entries = ['src/main.ts', ...workers]

// Use their CommonJS builds: their ES modules load gRPC by `createRequire`, which bundlers miss.
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
  define: { BUILD_COMMIT: JSON.stringify(givenCommit ?? commitOfRepository()) },
  minify: true,
  bytecode: true,
  // Split chunks: the entry handles signals before the rest is read.
  splitting: true,
  sourcemap: 'linked',
  // Ignore a bunfig.toml in the working folder, but read a .env.
  compile: { outfile, autoloadBunfig: false },
})

// Remove the map files: the executable embeds them, so stacks still name files and lines.
for (const { path, kind } of outputs)
  if (kind === 'sourcemap') await rm(join(dirname(outfile), basename(path)))

const { size } = await stat(outfile)
console.log(`${outfile}: ${Math.round(size / 1e6)} MB from ${entries.join(', ')}`)
