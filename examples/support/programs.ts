export interface Program {
  readonly command: readonly string[]
  readonly settings?: Readonly<Record<string, string>>
  /** Signal that ends it; SIGTERM by default. */
  readonly signal?: NodeJS.Signals
}

interface Child {
  readonly process: Bun.Subprocess
  readonly signal: NodeJS.Signals
}

/** A program that takes longer to end is killed. */
const END_MS = 4_000
const REPEATED_MS = 200

const children: Child[] = []

/** Starts a program in its own process group, so that its end is also that of its children. */
export function start({ command, settings, signal = 'SIGTERM' }: Program, cwd: string): Bun.Subprocess {
  const child = Bun.spawn([...command], {
    cwd,
    env: { ...process.env, NO_PROXY: 'localhost,127.0.0.1', ...settings },
    stdin: 'ignore',
    stdout: 'inherit',
    stderr: 'inherit',
    detached: true,
  })
  children.push({ process: child, signal })
  return child
}

/** Sends a signal to the processes of all programs. */
function signalAll(urgent?: NodeJS.Signals): void {
  for (const { process: child, signal } of children)
    try {
      process.kill(-child.pid, urgent ?? signal)
    } catch {
      // It has ended.
    }
}

async function end(code: number): Promise<never> {
  signalAll()
  setTimeout(() => signalAll('SIGKILL'), END_MS)
  await Promise.all(children.map(({ process: child }) => child.exited))
  process.exit(code)
}

let stopping: Promise<never> | undefined

/** Ends all programs, then this one. */
export function stop(code: number): Promise<never> {
  stopping ??= end(code)
  return stopping
}

let interruptedAt = Number.NEGATIVE_INFINITY

/** A second signal does not wait. `npx` repeats each Ctrl-C at once: both count as one. */
export function interrupt(): void {
  const now = performance.now()
  if (stopping === undefined) void stop(0)
  else if (now - interruptedAt > REPEATED_MS) signalAll('SIGKILL')
  interruptedAt = now
}

/** Resolves with the exit code of the first program that ends. */
export const firstEnd = (): Promise<number> =>
  Promise.race(children.map(({ process: child }) => child.exited))
