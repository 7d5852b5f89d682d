import { describe } from '../../lib/redis/url.ts'
import { type Finding, fail, warn } from './finding.ts'
import type { RedisUse } from './redis-servers.ts'

/** Redis versions word a missing permission in these ways. */
const FORBIDDEN = /NOPERM|no permissions|can't (?:run|access)/i

/** Redis ends the errors of a script with its hash and line. */
const SCRIPT = /\.? script: [0-9a-f]{40}.*$/

type Advice = (setting: string) => string

/** Reasons for which Redis cannot be used, and what to do. */
const ADVICE: readonly (readonly [reason: RegExp, advice: Advice])[] = [
  [FORBIDDEN, () => 'give the user the permissions that docs/OPERATIONS.md lists'],
  [/WRONGPASS|NOAUTH|without any password/, setting => `correct user and password in ${setting}`],
  [/\bREADONLY\b|expected a master/, setting => `name the master in ${setting}: this Redis is a replica`],
  [/\bOOM\b/, () => 'raise maxmemory of Redis, or remove what else it holds'],
  [/\bMISCONF\b/, () => 'look at the log and disk of Redis: it cannot save its data'],
  [/\bNOREPLICAS\b/, () => 'start replicas of Redis, or lower its min-replicas-to-write'],
  [/\bLOADING\b/, () => 'wait until Redis has loaded its data'],
  [/\bBUSY\b/, () => 'end the long script in Redis (SCRIPT KILL)'],
  [/\bWRONGTYPE\b/, () => 'another program uses this key: choose another database or name'],
  [/number of clients/, () => 'raise maxclients of Redis, or close other clients'],
  [/DB index|open database/, setting => `correct the database number in ${setting}`],
  [/RESP type/, setting => `correct ${setting}: another program listens there`],
  [/Redis Cluster is not supported|or later is needed/, () => 'see "Redis" in docs/OPERATIONS.md'],
  [/no Sentinel/, setting => `start the Sentinels, or correct their addresses and the master in ${setting}`],
  [
    /^no answer$/,
    () => 'look at Redis: it is frozen, a firewall drops its packets, or only one side uses TLS',
  ],
  [/^too slow/, () => 'look at the load of Redis and at the network'],
  [/certificate|self.signed|issuer/i, () => 'trust its certificate with NODE_EXTRA_CA_CERTS'],
]

const adviceFor = (reason: string, setting: string): string =>
  ADVICE.find(([pattern]) => pattern.test(reason))?.[1](setting) ?? `start Redis, or correct ${setting}`

/** A Redis that cannot be checked. An unused default of REDIS_URL is a warning only. */
export function notReached(use: RedisUse, reason: string, isAsked: boolean): Finding {
  const { address, setting, isStore, isBus } = use
  const message = reason.startsWith(`${setting}:`) ? reason : `${setting} ${describe(address)}: ${reason}`
  if (isStore || isBus || isAsked) return fail('redis', message, adviceFor(reason, setting))
  return warn('redis', message, 'start Redis, or set REDIS_URL= if no backend publishes there')
}

/** A refusal of a command that store, bus, lease, stream or trigger need. */
export function refused(use: string, setting: string, error: string): Finding {
  const reason = error.replace(SCRIPT, '')
  if (!FORBIDDEN.test(reason)) return fail('redis', `${use}: ${reason}`, adviceFor(reason, setting))
  const chapter = use === 'bus' || use === 'lease' ? 'The bus' : 'Redis'
  const advice = `give the user the permissions that "${chapter}" in docs/OPERATIONS.md lists`
  return fail('permissions', `${use}: ${reason}`, advice)
}
