import type { Reply, ToWorker, WorkerSetup } from './batch.ts'

/** The thread that writes: an fsync holds up whoever runs it, and that must not be the one that delivers. */
export interface Thread {
  /** Whether there is one: it may have ended by a fault. */
  isThere(): boolean
  send(message: ToWorker): void
  /** Starts another one. */
  restart(): void
  /** Resolves when it has closed the file, at the latest after a second. */
  close(): Promise<void>
}

interface ThreadOptions {
  readonly setup: WorkerSetup
  readonly onReply: (reply: Exclude<Reply, { readonly type: 'closed' }>) => void
  /** It ended, and nobody had asked it to; what it was doing may or may not be done. */
  readonly onEnded: () => void
  /** An error that the thread did not catch. */
  readonly onFault: (error: unknown) => void
}

const CLOSE_MS = 1_000

/** Written out where it is, so that the build of the executable finds it (`scripts/build.ts`). */
const WORKER = new URL('./sqlite-worker.ts', import.meta.url)

export function startThread({ setup, onReply, onEnded, onFault }: ThreadOptions): Thread {
  let worker: Worker | undefined
  let onClosed: (() => void) | undefined

  const start = (): void => {
    const started = new Worker(WORKER)
    worker = started
    started.onmessage = ({ data }: MessageEvent<Reply>) => {
      if (data.type === 'closed') onClosed?.()
      else if (worker === started) onReply(data)
    }
    // `close` tells its end.
    started.onerror = event => {
      event.preventDefault()
      onFault(event.error ?? new Error(event.message))
    }
    started.addEventListener('close', () => {
      onClosed?.()
      if (worker !== started) return
      worker = undefined
      onEnded()
    })
    started.postMessage(setup)
  }

  start()

  return {
    isThere: () => worker !== undefined,
    send: message => worker?.postMessage(message),
    restart: start,
    close: async () => {
      const closing = worker
      worker = undefined
      if (closing === undefined) return
      const closed = new Promise<void>(resolve => {
        onClosed = resolve
      })
      closing.postMessage({ type: 'close' } satisfies ToWorker)
      await Promise.race([closed, Bun.sleep(CLOSE_MS)])
      closing.terminate()
    },
  }
}
