/** The send queues of the kernel, by the name of the other end: see `endName`. */
export interface SendQueues extends Disposable {
  /** Bytes that each client has not acknowledged, clients that owe nothing are absent; undefined when it cannot be told now. */
  read(): Promise<ReadonlyMap<string, number> | undefined>
}

/** Answer of the worker. `fault` is the system's code. */
export type QueuesRead = { readonly queues: [string, number][] } | { readonly fault: string }

interface SendQueuesOptions {
  readonly portOf: () => number
  /** The system does not let this process read its tables: told once. */
  readonly onUnreadable: (code: string) => void
}

/** Written out where it is, so that the build of the executable finds it (`scripts/build.ts`). */
const WORKER = new URL('./send-queues-worker.ts', import.meta.url)
/** These do not pass: time alone has to do. */
const LASTING = new Set(['ENOENT', 'EACCES', 'EPERM', 'ENOSYS', 'EINVAL', 'ENOTSUP'])

/**
 * Reads `/proc/net/tcp` and `tcp6` of Linux in a thread of its own: with 8,000 connections one reading takes 30 ms.
 * Readings must not overlap.
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

/** Where the system has no such tables every byte counts as acknowledged. */
const noSendQueues: SendQueues = {
  read: async () => new Map(),
  [Symbol.dispose]: () => undefined,
}

export const openSendQueues = (options: SendQueuesOptions): SendQueues =>
  process.platform === 'linux' ? linuxSendQueues(options) : noSendQueues
