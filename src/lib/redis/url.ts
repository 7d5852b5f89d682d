export interface Host {
  readonly host: string
  readonly port: number
}

/** Address of a Redis, with credentials. */
export interface RedisAddress {
  /** Server; with `master`, the Sentinels that know it. */
  readonly hosts: readonly [Host, ...Host[]]
  /** Name of the master at the Sentinels. */
  readonly master?: string
  readonly tls: boolean
  readonly username?: string
  readonly password?: string
  readonly db: number
}

const REDIS_PORT = 6379
const SENTINEL_PORT = 26_379
const MAX_PORT = 65_535

/** Matches `scheme://[user[:password]@]hosts[/path]`. No query: `?db=3` would silently mean database 0. */
const PARTS = /^(rediss?|redis\+sentinel):\/\/(?:([^@/]*)@)?([^@/?#]+)(?:\/([^?#]*))?$/i
/** Matches a name, an IPv4 or a bracketed IPv6 address, with an optional port. */
const HOST = /^(?:\[([\da-f:.]+)\]|([^\s:[\]]+))(?::(\d{1,5}))?$/i
const DATABASE = /^\d{0,4}$/

function hostOf(text: string, defaultPort: number): Host | undefined {
  const [match, address, name, digits] = HOST.exec(text) ?? []
  const port = digits === undefined ? defaultPort : Number(digits)
  if (match === undefined || port < 1 || port > MAX_PORT) return undefined
  return { host: address ?? name ?? '', port }
}

/** Percent-decodes; undefined for broken encoding. */
function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

function credentialsOf(text: string): Pick<RedisAddress, 'username' | 'password'> | undefined {
  const colon = text.indexOf(':')
  const [username, password] = [text.slice(0, colon === -1 ? undefined : colon), text.slice(colon + 1)].map(
    decode,
  )
  if (username === undefined || password === undefined) return undefined
  return { ...(username !== '' && { username }), ...(colon !== -1 && password !== '' && { password }) }
}

/** Common end of the texts that say which addresses a setting accepts. */
export const REDIS_URL_RULES =
  'no query; @, :, /, # and % in a user or password percent-encoded; /db is a whole number'

/**
 * Reads `redis://[user:password@]host[:port][/db]`, the same with `rediss://` (TLS), or
 * `redis+sentinel://[user:password@]host[:port],host[:port]/master[/db]`. Undefined for anything else.
 */
export function parseRedisUrl(text: string): RedisAddress | undefined {
  const [match, scheme = '', user = '', places = '', path = ''] = PARTS.exec(text) ?? []
  if (match === undefined) return undefined
  const hasSentinels = scheme.toLowerCase() === 'redis+sentinel'
  const [name, database = ''] = hasSentinels ? path.split('/').map(decode) : [undefined, path]
  const [first, ...others] = places
    .split(',')
    .map(place => hostOf(place, hasSentinels ? SENTINEL_PORT : REDIS_PORT))
  const credentials = credentialsOf(user)
  const rest = others.filter(host => host !== undefined)
  if (first === undefined || rest.length < others.length || credentials === undefined) return undefined
  if (!DATABASE.test(database) || (hasSentinels ? !name || path.split('/').length > 2 : rest.length > 0))
    return undefined
  return {
    hosts: [first, ...rest],
    ...(name !== undefined && { master: name }),
    tls: scheme.toLowerCase() === 'rediss',
    ...credentials,
    db: Number(database),
  }
}

/** Describes the address for log lines, without credentials. */
export const describe = ({ hosts, master }: RedisAddress): string => {
  const places = hosts.map(({ host, port }) => `${host}:${port}`).join(',')
  return master === undefined ? places : `${master} by ${places}`
}
