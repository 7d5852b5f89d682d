import { createServer } from 'node:http'

/** `reset`: the connection breaks before the service has the request; `lost`: after it has answered. */
export type Trouble = 'reset' | 'lost' | { readonly status: number; readonly retryAfter: number }

export interface Unreliable extends AsyncDisposable {
  readonly url: string
  /** Requests in their order, with the time of arrival in milliseconds. */
  readonly requests: readonly { readonly key: string; readonly at: number }[]
  /** Gives these troubles to the next requests. */
  trouble(...troubles: readonly Trouble[]): void
}

/** Starts a proxy in front of the service that breaks some of the requests. */
export async function startUnreliable(target: string): Promise<Unreliable> {
  const waiting: Trouble[] = []
  const requests: { key: string; at: number }[] = []
  const server = createServer(async (request, response) => {
    requests.push({ key: String(request.headers['idempotency-key']), at: performance.now() })
    const trouble = waiting.shift()
    const body = Buffer.concat(await Array.fromAsync(request as AsyncIterable<Buffer>))
    if (trouble === 'reset') {
      request.socket.destroy()
      return
    }
    if (typeof trouble === 'object') {
      response.writeHead(trouble.status, { 'retry-after': String(trouble.retryAfter) })
      response.end('{"error":{"code":"NOT_NOW","message":"not now"}}')
      return
    }
    const { method = 'GET', url = '/', headers } = request
    const answer = await fetch(target + url, { method, body, headers: headers as Record<string, string> })
    const text = await answer.text()
    if (trouble === 'lost') request.socket.destroy()
    else response.writeHead(answer.status, { 'content-type': 'application/json' }).end(text)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    trouble: (...troubles) => waiting.push(...troubles),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}
