import { join } from 'node:path'
import { SignJWT } from 'jose'
import { API_KEY, SECRET } from './app.ts'
import { awaitedLater } from './awaited-later.ts'
import type { Message } from './client.ts'
import { createInbox } from './inbox.ts'

export interface Service extends AsyncDisposable {
  readonly port: number
  readonly pid: number
  readonly url: string
  readonly lines: readonly Message[]
  /** Resolves with the next log line of that event. */
  line(event: string): Promise<Message>
  token(user: string): Promise<string>
  send(user: string, payload: unknown): Promise<Response>
  signal(name: 'SIGTERM' | 'SIGINT' | 'SIGKILL' | 'SIGHUP' | 'SIGSTOP' | 'SIGCONT'): void
  /** Resolves with exit code, stderr and stdout. */
  readonly ended: Promise<{ readonly code: number; readonly stderr: string; readonly stdout: string }>
}

export interface Program {
  readonly command: readonly string[]
  readonly cwd: string
}

const FROM_SOURCE: Program = {
  command: [process.execPath, 'src/main.ts'],
  cwd: join(import.meta.dir, '../..'),
}

/** Spawns the service on a free port with exactly these settings. */
export function spawnService(
  env: Record<string, string>,
  { command, cwd }: Program = FROM_SOURCE,
  stdin: Blob | 'ignore' = 'ignore',
) {
  return Bun.spawn([...command], {
    cwd,
    env: {
      PATH: process.env['PATH'] ?? '',
      SERVER_HOST: '127.0.0.1',
      SERVER_PORT: '0',
      LOG_FORMAT: 'json',
      REDIS_URL: '',
      ...env,
    },
    stdin,
    stdout: 'pipe',
    stderr: 'pipe',
  })
}

/** Reads the output of a process to its end; calls `onText` with all text so far. A killed process may reset its pipe. */
async function readOutput(
  stream: ReadableStream<Uint8Array>,
  onText?: (text: string) => void,
): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  try {
    for await (const chunk of stream) {
      text += decoder.decode(chunk, { stream: true })
      onText?.(text)
    }
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ECONNRESET')) throw error
  }
  return text
}

/** Starts the service as its own process and waits until it listens. */
export async function startService(env: Record<string, string> = {}, program?: Program): Promise<Service> {
  const child = spawnService({ JWT_SECRET: SECRET, API_KEY, ...env }, program)
  const lines: Message[] = []
  const inbox = createInbox<Message>()
  const stderr = awaitedLater(readOutput(child.stderr))
  const read = async () => {
    let done = 0
    const all = await readOutput(child.stdout, text => {
      for (let end = text.indexOf('\n', done); end >= 0; end = text.indexOf('\n', done)) {
        const line = text.slice(done, end)
        done = end + 1
        if (!line.startsWith('{')) continue
        lines.push(JSON.parse(line))
        inbox.push(lines.at(-1))
      }
    })
    inbox.end()
    return all
  }
  const stdout = awaitedLater(read())
  const line = (event: string) => inbox.until(each => each.event === event)
  const { port } = await line('started').catch(error => {
    child.kill('SIGKILL')
    throw error
  })
  const url = `http://127.0.0.1:${port}`
  return {
    port,
    pid: child.pid,
    url,
    lines,
    line,
    token: user =>
      new SignJWT({ sub: user, exp: Math.floor(Date.now() / 1000) + 3600 })
        .setProtectedHeader({ alg: 'HS256' })
        .sign(new TextEncoder().encode(SECRET)),
    send: (user, payload) =>
      fetch(`${url}/api/v1/notifications/send`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'x-api-key': API_KEY },
        body: JSON.stringify({ target_user_id: user, event_type: 'e', payload }),
      }),
    signal: name => child.kill(name),
    ended: awaitedLater(
      (async () => ({ code: await child.exited, stderr: await stderr, stdout: await stdout }))(),
    ),
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL')
      await child.exited
    },
  }
}
