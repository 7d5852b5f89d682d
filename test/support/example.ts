import { join } from 'node:path'
import { API_KEY, SECRET } from './app.ts'
import { freePort } from './free-port.ts'

const POLL_MS = 20
const RUN = join(import.meta.dir, '../../examples/run.ts')

export interface ExampleProcess extends AsyncDisposable {
  /** Output so far. */
  readonly output: string
  /** Resolves when the output fits; rejects when the example ends before. */
  until(fits: (output: string) => boolean): Promise<void>
  /** Exit code; null while it runs. */
  readonly exitCode: number | null
  /** Resolves with the exit code. */
  readonly ended: Promise<number>
  signal(name: 'SIGTERM' | 'SIGINT' | 'SIGHUP'): void
}

export interface RunningExample extends ExampleProcess {
  /** Address of the example's own server. */
  readonly url: string
}

/** Settings of the service that an example uses, as `bun run example` takes them. */
export const settingsFor = (url: string): Record<string, string> => ({
  ARA_URL: url,
  API_KEY,
  JWT_SECRET: SECRET,
})

/** Starts an example by its one command. */
export function spawnExample(name: string, settings: Readonly<Record<string, string>>): ExampleProcess {
  const child = Bun.spawn([process.execPath, RUN, name], {
    env: { PATH: process.env['PATH'] ?? '', HOME: process.env['HOME'] ?? '', ...settings },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  })
  let output = ''
  let wake = Promise.withResolvers<void>()
  const collect = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder()
    for await (const chunk of stream) {
      output += decoder.decode(chunk, { stream: true })
      wake.resolve()
    }
  }
  const collected = Promise.all([collect(child.stdout), collect(child.stderr)])
  return {
    get output() {
      return output
    },
    until: async fits => {
      while (!fits(output)) {
        if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}: ${output}`)
        wake = Promise.withResolvers()
        await Promise.race([wake.promise, child.exited])
      }
    },
    get exitCode() {
      return child.exitCode
    },
    ended: child.exited,
    signal: name => child.kill(name),
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGTERM')
      await child.exited
      await collected
    },
  }
}

const answers = async (url: string): Promise<boolean> =>
  (await fetch(url).catch(() => undefined))?.ok === true

/** Starts an example with a server; resolves when that answers. */
export async function startExample(
  name: string,
  settings: Readonly<Record<string, string>>,
): Promise<RunningExample> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  await using starting = new AsyncDisposableStack()
  const example = starting.use(spawnExample(name, { PORT: String(port), ...settings }))
  while (!(await answers(`${url}/token`))) {
    if (example.exitCode !== null)
      throw new Error(`${name} ended with ${example.exitCode}: ${example.output}`)
    await Bun.sleep(POLL_MS)
  }
  starting.move()
  return Object.assign(example, { url })
}
