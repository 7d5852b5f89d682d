import type { Reply, ToWorker, WorkerSetup } from './batch.ts'

/** The thread that writes. An fsync blocks its thread, which must not be the one that delivers. */
export interface Thread {
  /** Whether the thread runs. A fault may have ended it. */
  isThere(): boolean
  send(message: ToWorker): void
  /** Starts a new thread. */
  restart(): void
  /** Resolves when the thread has closed the file, after a second at the latest. */
  close(): Promise<void>
}

interface ThreadOptions {
  readonly setup: WorkerSetup
  readonly onReply: (reply: Exclude<Reply, { readonly type: 'closed' }>) => void
  /** The thread ended without being asked to. The outcome of its work is unknown. */
  readonly onEnded: () => void
  /** An error that the thread did not catch. */
  readonly onFault: (error: unknown) => void
}

const CLOSE_MS = 1_000

/** A literal path here, so that the build of the executable finds the file (`scripts/build.ts`). */
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
    // The event `close` reports its end.
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
