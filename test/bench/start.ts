import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { spawnService } from '../support/service.ts'
import { median } from './report.ts'

/** `bun test/bench/start.ts` measures from spawn to the first 200 of `/health`, for sources and executable in turn. */

const ROOT = join(import.meta.dir, '../..')
const ROUNDS = 10
const RETRY_MS = 0.5
/** Below the ports of outgoing connections. */
const PORT = 10_000 + (process.pid % 20_000)

async function millisecondsToStart(command: readonly string[], cwd: string): Promise<number> {
  const env = { SERVER_PORT: String(PORT), JWT_SECRET: 'a-secret-of-at-least-32-bytes-to-start-with' }
  const began = performance.now()
  const child = spawnService(env, { command, cwd })
  for (;;) {
    const answer = await fetch(`http://127.0.0.1:${PORT}/health`).catch(() => undefined)
    const took = performance.now() - began
    if (answer?.status === 200) {
      child.kill('SIGTERM')
      await child.exited
      return took
    }
    if (child.exitCode !== null) throw new Error(await child.stderr.text())
    await Bun.sleep(RETRY_MS)
  }
}

const folder = await mkdtemp(join(tmpdir(), 'ara-start-'))
const binary = join(folder, 'ara')
const { exited } = Bun.spawn([process.execPath, 'scripts/build.ts', binary], { cwd: ROOT, stdout: 'ignore' })
if ((await exited) !== 0) throw new Error('it does not build')

const times: Record<'source' | 'binary', number[]> = { source: [], binary: [] }
for (let round = 0; round < ROUNDS; round++) {
  times.source.push(await millisecondsToStart([process.execPath, 'src/main.ts'], ROOT))
  times.binary.push(await millisecondsToStart([binary], folder))
}
for (const [name, all] of Object.entries(times)) {
  const figures = [median(all), Math.min(...all), Math.max(...all)].map(Math.round)
  console.log(`${name}  median ${figures[0]} ms, ${figures[1]} to ${figures[2]}`)
}
const { size } = await stat(binary)
console.log(
  `binary  ${(size / 1e6).toFixed(1)} MB, gzip ${(Bun.gzipSync(await Bun.file(binary).bytes()).length / 1e6).toFixed(1)} MB`,
)
await rm(folder, { recursive: true })
