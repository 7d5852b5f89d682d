import { get } from 'node:http'

interface Address {
  /** As in SERVER_HOST: also an IPv6 address in brackets, or one that means every address. */
  readonly host: string
  readonly port: number
}

const DEADLINE_MS = 3_000

/** Whether the service at that address answers; rejects when nothing does. */
export function isAlive({ host, port }: Address): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>()
  const hostname = host.replace(/^\[(.*)\]$/, '$1')
  // Unlike `fetch`, this asks no HTTP_PROXY.
  const request = get({ hostname, port, path: '/health/live' }, ({ statusCode }) =>
    resolve(statusCode === 200),
  ).on('error', reject)
  // For all of it: an answer that comes drop by drop is none.
  const timer = setTimeout(() => reject(new Error(`no answer on ${host}:${port}`)), DEADLINE_MS)
  return promise.finally(() => {
    clearTimeout(timer)
    request.destroy()
  })
}
