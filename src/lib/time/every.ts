/**
 * Runs `work` every `ms` until disposed. Skips a run while the previous one lasts. A failed run rejects into the process's
 * own handler, which counts and logs it; later runs continue.
 */
export function every(ms: number, work: () => void | Promise<void>): Disposable {
  let isRunning = false

  const run = async (): Promise<void> => {
    if (isRunning) return
    isRunning = true
    try {
      await work()
    } finally {
      isRunning = false
    }
  }

  const timer = setInterval(() => void run(), ms)
  timer.unref()
  return { [Symbol.dispose]: () => clearInterval(timer) }
}
