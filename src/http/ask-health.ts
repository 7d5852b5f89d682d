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
  get({ hostname, port, path: '/health/live', timeout: DEADLINE_MS }, ({ statusCode }) =>
    resolve(statusCode === 200),
  )
    .on('timeout', () => reject(new Error(`no answer on ${host}:${port}`)))
    .on('error', reject)
  return promise
}
