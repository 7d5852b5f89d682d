/** Gathers acknowledgements: the service limits messages. It asks again for those that are lost. */
export interface Acks {
  add(id: string): void
  /** Sends what waits at once. A page that unloads has lost its stream by then. */
  flush(): void
  /** Flushes on a new connection, whose service may have other settings. */
  restart(): void
}

/** Acknowledgements sent one by one at once; more go in one request. */
const MAX_MESSAGES = 8
/** Part of the answer when acknowledgements are off. */
const OFF = '[],"invalid":[]'
const MAX_AT_ONCE = 1_000

export function createAcks(
  isOnline: () => boolean,
  /** Runs a function after a pause. */
  later: (run: () => unknown) => void,
  /** Sends one as a message; false where it cannot. */
  send: (id: string) => boolean | undefined,
  /** Sends several as a request; resolves with the answer. */
  post: (ids: readonly string[]) => Promise<string>,
): Acks {
  const waiting: string[] = []
  /** Whether the service has acknowledgements on. The first answer on a connection tells. */
  let isOn: boolean | undefined

  const pass = async (ids: readonly string[]) => {
    if (isOn === false || (isOn && ids.length <= MAX_MESSAGES && ids.every(send))) return
    const answer = await post(ids).catch(() => '')
    isOn = !answer.includes(OFF)
  }

  const flush = () => {
    while (waiting[0]) void pass(waiting.splice(0, MAX_AT_ONCE))
  }

  return {
    add: id => {
      if (waiting.push(id) === 1) later(() => isOnline() && flush())
    },
    flush,
    restart: () => {
      isOn = undefined
      flush()
    },
  }
}
