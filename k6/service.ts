import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { Environment } from './lib/inputs.ts'

const ROOT = join(import.meta.dir, '..')
const START_LIMIT_MS = 10_000
const STOP_LIMIT_MS = 5_000
/** Storage settings that pass from the caller's environment to the service. */
const PASSED_ON = /^(?:STORE|BUS|QUEUE|ACK)_|^(?:REDIS_URL|COALESCE_MS|PATH)$/

/** Service started by the load test. */
export interface Service extends AsyncDisposable {
  /** Environment of k6 for this service. */
  readonly inputs: { readonly HOST: string; readonly JWT_SECRET: string; readonly API_KEY: string }
}

const made = (): string => randomBytes(32).toString('base64url')

/** Fields of a log line; undefined for any other text. */
function fieldsOf(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const fields: unknown = JSON.parse(line)
    return typeof fields === 'object' && fields !== null ? { ...fields } : undefined
  } catch {
    return undefined
  }
}

/** Reads every line until the stream ends, so that the writer never blocks. */
async function readLines(stream: ReadableStream<Uint8Array>, onLine: (line: string) => void): Promise<void> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) onLine(line)
  }
}

/** Starts a service on a free port, with logs on and without effective limits; warnings go to stderr. */
export async function startService(env: Environment): Promise<Service> {
  const secret = env['JWT_SECRET'] || made()
  const key = env['API_KEY'] || made()
  const child = Bun.spawn([process.execPath, '--no-env-file', 'src/main.ts'], {
    cwd: ROOT,
    env: {
      REDIS_URL: '',
      QUEUE_ENABLED: 'true',
      ...Object.fromEntries(Object.entries(env).filter(([name]) => PASSED_ON.test(name))),
      SERVER_HOST: '127.0.0.1',
      SERVER_PORT: '0',
      LOG_FORMAT: 'json',
      WEBSOCKET_MAX_CONNECTIONS: '0',
      WEBSOCKET_MAX_CONNECTIONS_PER_USER: '0',
      DRAIN_SECONDS: '0',
      JWT_SECRET: secret,
      API_KEY: key,
    },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'inherit',
  })
  const started = Promise.withResolvers<unknown>()
  const reading = readLines(child.stdout, line => {
    const fields = fieldsOf(line)
    if (fields?.['event'] === 'started') started.resolve(fields['port'])
    if (fields?.['level'] !== 'info') console.error(line)
  })
  void child.exited.then(() => started.reject(new Error('the service did not start')))
  const timer = setTimeout(
    () => started.reject(new Error('the service did not start in time')),
    START_LIMIT_MS,
  )

  const stop = async () => {
    const killer = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS)
    child.kill()
    await child.exited
    clearTimeout(killer)
    await reading
  }
  try {
    const port = await started.promise
    return {
      inputs: { HOST: `127.0.0.1:${port}`, JWT_SECRET: secret, API_KEY: key.split(',', 1)[0] ?? '' },
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await stop()
    throw error
  } finally {
    clearTimeout(timer)
  }
}
