/** Caller that sends one request after the other, like a backend. */
export interface KeptCaller extends Disposable {
  /** Sends a request, over the open connection if there is one; resolves with the status, 0 without an answer. */
  post(path: string, body: object): Promise<{ readonly status: number; readonly text: string }>
}

interface CallerOptions {
  readonly port: number
  readonly headers: Readonly<Record<string, string>>
  /** False: a connection for each request. */
  readonly keepsAlive: boolean
}

/** Whole answer at the start of the text: its body ends by `Content-Length`. */
function answerIn(text: string) {
  const head = text.slice(0, text.indexOf('\r\n\r\n') + 4)
  const length = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? Number.NaN)
  if (head.length < 4 || Buffer.byteLength(text) - Buffer.byteLength(head) < length) return undefined
  return {
    status: Number(head.slice(9, 12)),
    text: text.slice(head.length),
    closes: /^connection: close/im.test(head),
  }
}

/** Unlike `fetch` it repeats nothing: a connection that breaks under a request shows. */
export function keptCaller({ port, headers, keepsAlive }: CallerOptions): KeptCaller {
  let socket: Bun.Socket | undefined
  let text = ''
  let changed = Promise.withResolvers<void>()

  const wake = (): void => {
    changed.resolve()
    changed = Promise.withResolvers()
  }
  const connect = async (): Promise<Bun.Socket | undefined> => {
    const gone = (which?: Bun.Socket): void => {
      if (which === undefined || which === socket) socket = undefined
      wake()
    }
    try {
      return await Bun.connect({
        hostname: '127.0.0.1',
        port,
        socket: {
          data: (_, chunk) => {
            text += chunk.toString()
            wake()
          },
          close: gone,
          error: gone,
          connectError: () => gone(),
        },
      })
    } catch {
      return undefined
    }
  }

  return {
    post: async (path, body) => {
      socket ??= await connect()
      const used = socket
      text = ''
      const json = JSON.stringify(body)
      const fields = Object.entries({
        host: '127.0.0.1',
        'content-type': 'application/json',
        'content-length': String(Buffer.byteLength(json)),
        ...(keepsAlive ? {} : { connection: 'close' }),
        ...headers,
      }).map(([name, value]) => `${name}: ${value}`)
      used?.write(`POST ${path} HTTP/1.1\r\n${fields.join('\r\n')}\r\n\r\n${json}`)
      while (used !== undefined && socket === used && answerIn(text) === undefined) await changed.promise
      const answer = answerIn(text)
      if (answer === undefined) return { status: 0, text }
      if (answer.closes || !keepsAlive) {
        socket?.end()
        socket = undefined
      }
      return answer
    },
    [Symbol.dispose]: () => void socket?.end(),
  }
}
