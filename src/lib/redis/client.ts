import { isIP } from 'node:net'
import { Redis } from 'ioredis'
import type { Host, RedisAddress } from './url.ts'

/** Time limit for a server to accept a connection, milliseconds. Callers give up earlier, and count beats instead. */
const CONNECT_MS = 10_000
const KEEP_ALIVE_MS = 1_000

type Identity = Pick<RedisAddress, 'tls' | 'username' | 'password'>

const ignore = (): void => {}

/**
 * Makes a client for one connection, not open yet and without reconnects. It uses RESP2:
 * ioredis would continue in RESP3 after a HELLO refused for an unneeded password. It starts in
 * database 0, where ioredis would continue after a refused SELECT.
 */
export function createClient({ host, port }: Host, { tls, username, password }: Identity): Redis {
  const client = new Redis({
    host,
    port,
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(tls && { tls: isIP(host) === 0 ? { servername: host } : {} }),
    protocol: 2,
    lazyConnect: true,
    retryStrategy: null,
    enableReadyCheck: false,
    enableOfflineQueue: false,
    disableClientInfo: true,
    connectTimeout: CONNECT_MS,
    disconnectTimeout: 0,
    keepAlive: KEEP_ALIVE_MS,
  })
  // Without a listener ioredis writes errors with their stack to the console.
  client.on('error', ignore)
  return client
}
