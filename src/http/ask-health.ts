import { get } from 'node:http'

interface Address {
  /** Value of SERVER_HOST, also an IPv6 address in brackets or a wildcard address. */
  readonly host: string
  readonly port: number
}

const DEADLINE_MS = 3_000

/** Resolves with whether `/health/live` answers 200. Rejects without an answer. */
export function isAlive({ host, port }: Address): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>()
  const hostname = host.replace(/^\[(.*)\]$/, '$1')
  // Unlike `fetch`, `get` ignores HTTP_PROXY.
  const request = get({ hostname, port, path: '/health/live' }, ({ statusCode }) =>
    resolve(statusCode === 200),
  ).on('error', reject)
  // Bounds the whole request, also an answer that trickles in.
  const timer = setTimeout(() => reject(new Error(`no answer on ${host}:${port}`)), DEADLINE_MS)
  return promise.finally(() => {
    clearTimeout(timer)
    request.destroy()
  })
}
