import type { Snapshot } from '../observe/exposition.ts'
import type { FromWorker, StartMessage, ToWorker } from './messages.ts'

/** How a process ended. */
export interface End {
  readonly code: number | null
  readonly signal: string | null
  /** Line that says why it could not start. */
  readonly refusal: string | undefined
}

/** Process of one worker, as the supervisor sees it. */
export interface WorkerProcess {
  readonly pid: number | undefined
  /** Resolves with true when it serves the port, with false if it ended before. */
  readonly served: Promise<boolean>
  readonly isServing: boolean
  readonly ended: Promise<End>
  readonly hasEnded: boolean
  /** Its DRAIN_SECONDS; 0 until it serves. */
  readonly drainSeconds: number
  /** The last metrics that it reported. */
  readonly lastReport: Snapshot | undefined
  send(message: ToWorker): void
  /** Asks for its metrics; undefined if it ends before it answers. */
  report(): Promise<Snapshot | undefined>
  kill(): void
}

export interface LaunchOptions {
  readonly command: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** Listening sockets, which become descriptors 3 and 4. */
  readonly sockets: readonly number[]
  readonly start: StartMessage
  /** Receives each whole line of its output. */
  readonly onLine: (line: string) => void
  /** It asks for the metrics of the others. */
  readonly onAsked: (own: Snapshot) => void
}

/** Longer lines are cut into pieces. */
const MAX_LINE = 1_048_576
/** Time in which the last lines and messages arrive after an exit. */
const LAST_OUTPUT_MS = 200

/** Passes on whole lines, so that lines of several processes do not mix. */
async function passLines(output: ReadableStream<Uint8Array>, onLine: (line: string) => void): Promise<void> {
  const decoder = new TextDecoder()
  let rest = ''
  try {
    for await (const chunk of output) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) onLine(`${line}\n`)
      if (rest.length < MAX_LINE) continue
      onLine(`${rest}\n`)
      rest = ''
    }
  } catch {
    // A killed process may reset its pipe.
  }
  if (rest !== '') onLine(`${rest}\n`)
}

/** Starts a worker. A program that cannot be started counts as one that ended at once. */
export function launchWorker({
  command,
  env,
  sockets,
  start,
  onLine,
  onAsked,
}: LaunchOptions): WorkerProcess {
  const served = Promise.withResolvers<boolean>()
  const ended = Promise.withResolvers<End>()
  let state: 'starting' | 'serving' | 'ended' = 'starting'
  let drainSeconds = 0
  let lastReport: Snapshot | undefined
  let refusal: string | undefined
  let asked: PromiseWithResolvers<Snapshot | undefined> | undefined

  const receive = (message: FromWorker): void => {
    switch (message.type) {
      case 'serving':
        state = 'serving'
        drainSeconds = message.drainSeconds
        served.resolve(true)
        break
      case 'refused':
        refusal = message.line
        break
      case 'report':
        lastReport = message.metrics
        asked?.resolve(lastReport)
        asked = undefined
        break
      case 'others':
        lastReport = message.own
        onAsked(message.own)
    }
  }

  const end = (code: number | null, signal: string | null): void => {
    state = 'ended'
    served.resolve(false)
    asked?.resolve(undefined)
    ended.resolve({ code, signal, refusal })
  }

  const closed = Promise.withResolvers<void>()
  const spawn = () =>
    Bun.spawn([...command], {
      env,
      stdio: ['ignore', 'pipe', 'inherit', ...sockets],
      ipc: receive,
      onDisconnect: () => closed.resolve(),
      serialization: 'json',
    })
  let child: ReturnType<typeof spawn> | undefined
  try {
    child = spawn()
    const output = Promise.all([passLines(child.stdout, onLine), closed.promise])
    const { exited } = child
    void exited.then(async () => {
      await Promise.race([output, Bun.sleep(LAST_OUTPUT_MS)])
      end(child?.exitCode ?? null, child?.signalCode?.toString() ?? null)
    })
  } catch (error) {
    refusal = String(error)
    end(null, null)
  }

  const send = (message: ToWorker): void => {
    try {
      child?.send(message)
    } catch {
      // It has exited; `ended` follows.
    }
  }
  send(start)

  return {
    pid: child?.pid,
    served: served.promise,
    get isServing() {
      return state === 'serving'
    },
    ended: ended.promise,
    get hasEnded() {
      return state === 'ended'
    },
    get drainSeconds() {
      return drainSeconds
    },
    get lastReport() {
      return lastReport
    },
    send,
    report: () => {
      if (state === 'ended') return Promise.resolve(undefined)
      if (asked === undefined) {
        asked = Promise.withResolvers()
        send({ type: 'report' })
      }
      return asked.promise
    },
    kill: () => child?.kill('SIGKILL'),
  }
}
