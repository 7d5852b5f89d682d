export type Environment = Readonly<Record<string, string | undefined>>

/** Unsupported settings of other services and of later versions, grouped by the advice to give. */
const REPLACED: Readonly<Record<string, string>> = {
  'use STORE_URL':
    'QUEUE_BACKEND ACK_BACKEND DATABASE_URL DATABASE_POOL_SIZE DATABASE_CONNECT_TIMEOUT_SECONDS DATABASE_IDLE_TIMEOUT_SECONDS QUEUE_REDIS_PREFIX ACK_REDIS_PREFIX',
  'use BUS_URL': 'CLUSTER_ENABLED CLUSTER_SESSION_PREFIX CLUSTER_SESSION_TTL_SECONDS CLUSTER_ROUTING_CHANNEL',
  'use NODE_ID': 'CLUSTER_SERVER_ID',
  'nothing replaces it': 'RATELIMIT_BACKEND RATELIMIT_REDIS_PREFIX',
  'not available in this version': 'CONSOLE_ENABLED',
}

/** The environment without settings of other services. */
export const withoutReplaced = (env: Environment): Environment => {
  const replaced = new Set(Object.values(REPLACED).flatMap(names => names.split(' ')))
  return Object.fromEntries(Object.entries(env).filter(([name]) => !replaced.has(name)))
}

/** Warns about settings of other services. */
export const replacedIn = (env: Environment): readonly string[] =>
  Object.entries(REPLACED).flatMap(([advice, names]) =>
    names
      .split(' ')
      .filter(name => env[name])
      .map(name => `${name} has no effect; ${advice}`),
  )
