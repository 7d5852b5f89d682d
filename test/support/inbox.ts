/** What arrived, and promises of what will: tests wait for events, never for time. */
export interface Inbox<T> {
  readonly all: readonly T[]
  push(item: T): void
  /** The next one not yet taken; rejects when the source ends or nothing comes for a while. */
  next(): Promise<T>
  /** Takes until one fits, and resolves with it. */
  until(fits: (item: T) => boolean): Promise<T>
  /** Takes so many. */
  take(count: number): Promise<T[]>
  end(): void
}

/** Long enough for a busy machine; a test that waits so long has failed. */
const GIVE_UP_MS = 15_000

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
