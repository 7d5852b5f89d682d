import { type Environment, readSetting } from '../config/config.ts'
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
  const { protocol, search, hash } = URL.parse(text) ?? {}
  if ((protocol !== 'http:' && protocol !== 'https:') || search || hash)
    throw new UsageError('--url: expected http://host:port or https://host')
  return text.replace(/\/+$/, '')
}

/** `--url`, else the address of the service with these settings. */
export function urlOf(args: Arguments, env: Environment): string {
  const given = givenUrl(args)
  if (given !== undefined) return given
  const port = readSetting('SERVER_PORT', env)
  if (port === 0) throw new UsageError('expected --url, because SERVER_PORT=0 means any free port')
  return localUrl(readSetting('SERVER_HOST', env), port)
}

/** `--api-key`, else the first of API_KEY, else the key of TENANT_API_KEYS for the tenant. */
export function keyOf(args: Arguments, env: Environment): string | undefined {
  const tenant = args.text('tenant')
  const bound = readSetting('TENANT_API_KEYS', env)?.find(each => each.tenant === tenant)
  return args.text('api-key') ?? readSetting('API_KEY', env)?.[0] ?? bound?.key
}
