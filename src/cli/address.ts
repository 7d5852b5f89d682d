import { type Environment, readSetting } from '../config/config.ts'
import { DEFAULT_TENANT } from '../protocol/names.ts'
import { type Arguments, UsageError } from './options.ts'

const LOCAL: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '[::1]', '[::]': '[::1]' }

/** Address of a listener for a client on this machine, without a final slash. */
export function localUrl(host: string, port: number): string {
  const name = LOCAL[host] ?? (host.includes(':') && !host.startsWith('[') ? `[${host}]` : host)
  return `http://${name}:${port}`
}

/** The value of `--url`, without a final slash. */
export function givenUrl(args: Arguments): string | undefined {
  const text = args.text('url')
  if (text === undefined) return undefined
  const { protocol, origin, pathname, username, password } = URL.parse(text) ?? {}
  if ((protocol !== 'http:' && protocol !== 'https:') || username || password || /[?#]/.test(text))
    throw new UsageError('--url: expected http://host:port or https://host, without user and query')
  return `${origin}${pathname}`.replace(/\/+$/, '')
}

/** Whether the service is on this machine, so that no proxy leads to it. */
export function isLocal(args: Arguments): boolean {
  const { hostname = 'localhost' } = URL.parse(args.text('url') ?? '') ?? {}
  return hostname === 'localhost' || hostname === '[::1]' || hostname.startsWith('127.')
}

/** `--url`, else the address of the service with these settings. INTERNAL_PORT serves `health`, if it is set. */
export function urlOf(args: Arguments, env: Environment, use: 'api' | 'health' = 'api'): string {
  const given = givenUrl(args)
  if (given !== undefined) return given
  const internalPort = use === 'health' ? readSetting('INTERNAL_PORT', env) : 0
  const port = internalPort || readSetting('SERVER_PORT', env)
  if (port === 0) throw new UsageError('expected --url, because SERVER_PORT=0 means any free port')
  return localUrl(readSetting('SERVER_HOST', env), port)
}

/** A text that HTTP can carry in a header. */
export function headerText(name: string, text: string): string {
  if (/^[\x20-\x7e]*$/.test(text)) return text
  throw new UsageError(`${name}: expected ASCII characters without line breaks`)
}

/** `--api-key`, else the first of API_KEY, else the key of TENANT_API_KEYS for the tenant. */
export function keyOf(args: Arguments, env: Environment): string | undefined {
  const tenant = args.text('tenant') ?? DEFAULT_TENANT
  const isSeparated = readSetting('TENANT_ENABLED', env)
  const bound = readSetting('TENANT_API_KEYS', env)?.find(each => !isSeparated || each.tenant === tenant)
  const key = args.text('api-key') ?? readSetting('API_KEY', env)?.[0] ?? bound?.key
  return key === undefined ? undefined : headerText('--api-key or API_KEY', key)
}
