import { join } from 'node:path'

/** Runs all checks that take seconds. `--skip-unit` leaves out the unit tests. */
const CHECKS = [
  { name: 'style', args: ['node_modules/.bin/biome', 'check', '--error-on-warnings', '.'] },
  { name: 'types', args: ['check', '--no-script'] },
  { name: 'examples', args: ['check', '--no-script', '-p', 'examples'] },
  { name: 'unused', args: ['node_modules/.bin/knip'] },
  // Finds code that only tests reach.
  { name: 'unreached', args: ['node_modules/.bin/knip', '--production', '--include', 'files,dependencies'] },
  { name: 'unit', args: ['test', '--only-failures', 'test/unit', 'test/architecture.test.ts'] },
]

const DEADLINE_MS = 120_000

/** Runs a check and prints one line; prints its output only if it failed. */
async function passes({ name, args }: (typeof CHECKS)[number]): Promise<boolean> {
  const startedAt = performance.now()
  const run = Bun.spawn([process.execPath, ...args], {
    cwd: join(import.meta.dir, '..'),
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    timeout: DEADLINE_MS,
  })
  const [out, err, code] = await Promise.all([run.stdout.text(), run.stderr.text(), run.exited])
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
  console.log(`${code === 0 ? 'ok    ' : 'FAILED'}  ${name.padEnd(9)}  ${seconds} s`)
  if (code !== 0) console.log(`${out}${err}`.trim())
  return code === 0
}

const wanted = CHECKS.filter(({ name }) => name !== 'unit' || !process.argv.includes('--skip-unit'))
const results = await Promise.all(wanted.map(passes))
const failed = results.filter(passed => !passed).length
console.log(`${results.length - failed} passed, ${failed} failed`)
process.exit(failed === 0 ? 0 : 1)
