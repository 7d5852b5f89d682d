/** Queue of arrivals and of waiting readers: tests wait for events, never for time. */
export interface Inbox<T> {
  readonly all: readonly T[]
  push(item: T): void
  /** Takes the next item; rejects when the source ends or nothing arrives in time. */
  next(): Promise<T>
  /** Takes items until one matches, and resolves with it. */
  until(fits: (item: T) => boolean): Promise<T>
  /** Takes this many items. */
  take(count: number): Promise<T[]>
  end(): void
}

/** Time limit of a test's wait, long enough for a busy machine. */
const GIVE_UP_MS = 30_000

export function createInbox<T>(): Inbox<T> {
  const all: T[] = []
  let taken = 0
  let ended = false
  let wake = Promise.withResolvers<void>()

  const stir = () => {
    wake.resolve()
    wake = Promise.withResolvers()
  }

  const next = async (): Promise<T> => {
    while (taken >= all.length) {
      if (ended) throw new Error(`ended after ${all.length} items`)
      let timer: Timer | undefined
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error(`nothing came after ${all.length} items`)), GIVE_UP_MS)
      })
      await Promise.race([wake.promise, late]).finally(() => clearTimeout(timer))
    }
    return all[taken++] as T
  }

  const until = async (fits: (item: T) => boolean): Promise<T> => {
    for (;;) {
      const item = await next()
      if (fits(item)) return item
    }
  }

  return {
    all,
    push: item => {
      all.push(item)
      stir()
    },
    next,
    until,
    take: async count => {
      const items: T[] = []
      while (items.length < count) items.push(await next())
      return items
    },
    end: () => {
      ended = true
      stir()
    },
  }
}
