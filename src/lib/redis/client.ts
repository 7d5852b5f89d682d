import { isIP } from 'node:net'
import { Redis } from 'ioredis'
import type { Host, RedisAddress } from './url.ts'

/** The longest a server may take to accept a connection, milliseconds. */
export const CONNECT_MS = 2_500
const KEEP_ALIVE_MS = 1_000

type Identity = Pick<RedisAddress, 'tls' | 'username' | 'password'>

const ignore = (): void => {}

/**
 * A client for one connection: it is not yet open, and is never opened again by itself. In the second protocol, since
 * ioredis goes on in the third when the server has refused it together with a password that it does not need. It is in
 * database 0: ioredis would go on there after a refused SELECT.
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
  // Without a listener ioredis writes errors, with their stack, to the console.
  client.on('error', ignore)
  return client
}
