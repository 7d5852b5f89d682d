import { join } from 'node:path'
import { API_KEY, SECRET } from './app.ts'
import { freePort } from './free-port.ts'

const POLL_MS = 20
const RUN = join(import.meta.dir, '../../examples/run.ts')

export interface RunningExample extends AsyncDisposable {
  /** Address of the example's own server. */
  readonly url: string
  readonly pid: number
  /** Output so far. */
  readonly output: string
}

/** Settings of the service that an example uses, as `bun run example` takes them. */
export const settingsFor = (url: string): Record<string, string> => ({
  ARA_URL: url,
  API_KEY,
  JWT_SECRET: SECRET,
})

const answers = async (url: string): Promise<boolean> =>
  (await fetch(url).catch(() => undefined))?.ok === true

/** Starts an example by its one command; resolves when its server answers `path`. */
export async function startExample(
  name: string,
  settings: Readonly<Record<string, string>>,
  path = '/token',
): Promise<RunningExample> {
  const port = await freePort()
  const child = Bun.spawn([process.execPath, RUN, name], {
    env: {
      PATH: process.env['PATH'] ?? '',
      HOME: process.env['HOME'] ?? '',
      PORT: String(port),
      ...settings,
    },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  })
  let output = ''
  const collect = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder()
    for await (const chunk of stream) output += decoder.decode(chunk, { stream: true })
  }
  const collected = Promise.all([collect(child.stdout), collect(child.stderr)])
  const url = `http://127.0.0.1:${port}`
  const example: RunningExample = {
    url,
    pid: child.pid,
    get output() {
      return output
    },
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGTERM')
      await child.exited
      await collected
    },
  }
  try {
    while (!(await answers(url + path))) {
      if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}: ${output}`)
      await Bun.sleep(POLL_MS)
    }
  } catch (error) {
    await example[Symbol.asyncDispose]()
    throw error
  }
  return example
}
