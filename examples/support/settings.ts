const { env } = process

/** Ports of the example, of the second server of the example in React, and of the service. */
export const { PORT = '3000', BACKEND_PORT = '3001', SERVER_PORT = '8081' } = env

/** Address of the service that an example starts. */
export const OWN_URL = `http://localhost:${SERVER_PORT}`

export const REDIS_PORT = 6379
/** Address of the Redis that an example starts. */
export const REDIS_URL = `redis://localhost:${REDIS_PORT}`
