/** Send queues of the kernel by the name of the remote end (`endName`). */
export interface SendQueues extends Disposable {
  /** Unacknowledged bytes by client; clients without any are absent. Undefined if unreadable now. */
  read(): Promise<ReadonlyMap<string, number> | undefined>
}

/** Answer of the worker; `fault` is the error code of the system. */
export type QueuesRead = { readonly queues: [string, number][] } | { readonly fault: string }

interface SendQueuesOptions {
  readonly portOf: () => number
  /** Called once if the system denies access to its tables. */
  readonly onUnreadable: (code: string) => void
}

/** Literal URL, so that `scripts/build.ts` finds the worker. */
const WORKER = new URL('./send-queues-worker.ts', import.meta.url)
/** Permanent errors: receipts of streams then rely on time alone. */
const LASTING = new Set(['ENOENT', 'EACCES', 'EPERM', 'ENOSYS', 'EINVAL', 'ENOTSUP'])

/**
 * Reads `/proc/net/tcp` and `tcp6` of Linux in a separate thread: with 8,000 connections a read takes 30 ms.
 * Reads must not overlap.
 */
function linuxSendQueues({ portOf, onUnreadable }: SendQueuesOptions): SendQueues {
  let worker: Worker | undefined
  let isUnreadable = false
  let answer: ((read: QueuesRead) => void) | undefined

  const end = (): void => {
    worker?.terminate()
    worker = undefined
    answer?.({ fault: 'ended' })
  }

  const start = (): Worker => {
    const started = new Worker(WORKER, { smol: true })
    started.onmessage = ({ data }: MessageEvent<QueuesRead>) => answer?.(data)
    started.onerror = event => event.preventDefault()
    started.addEventListener('close', () => {
      if (worker === started) end()
    })
    started.unref()
    worker = started
    return started
  }

  const ask = (): Promise<QueuesRead> =>
    new Promise(resolve => {
      answer = resolve
      ;(worker ?? start()).postMessage(portOf())
    })

  return {
    read: async () => {
      if (isUnreadable) return new Map()
      const read = await ask()
      if ('queues' in read) return new Map(read.queues)
      if (!LASTING.has(read.fault)) return undefined
      isUnreadable = true
      onUnreadable(read.fault)
      end()
      return new Map()
    },
    [Symbol.dispose]: end,
  }
}

/** Stand-in for other systems: every byte counts as acknowledged. */
const noSendQueues: SendQueues = {
  read: async () => new Map(),
  [Symbol.dispose]: () => undefined,
}

export const openSendQueues = (options: SendQueuesOptions): SendQueues =>
  process.platform === 'linux' ? linuxSendQueues(options) : noSendQueues
