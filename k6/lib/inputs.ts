import { type Profile, profileOf } from './profiles.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** URL of the service, without a trailing slash. */
export interface Addresses {
  readonly apiUrl: string
  readonly wsUrl: string
}

/** Inputs of a scenario, from environment variables. */
export interface Inputs extends Addresses {
  readonly apiKey: string | undefined
  readonly jwtToken: string | undefined
  readonly jwtSecret: string | undefined
  readonly channels: readonly string[]
  readonly batchSize: number
  readonly profile: Profile
}

const DEFAULT_CHANNELS = 'k6-1,k6-2,k6-3'
const DEFAULT_BATCH_SIZE = '10'
const MAX_BATCH_SIZE = 100

/** Treats an empty variable as unset. */
const textOf = (env: Environment, name: string): string | undefined => env[name] || undefined

const HOST = /^(?:(http|ws)(s?):\/\/)?([^\s/?#]+(?:\/[^\s/?#]+)*)\/*$/

/** Reads `host`, `host:port` or a URL; `wss://` equals `https://`. */
function placeOf(env: Environment, name: string): { readonly s: string; readonly rest: string } | undefined {
  const text = textOf(env, name)
  if (text === undefined) return undefined
  const [, , s = '', rest] = HOST.exec(text) ?? []
  if (rest === undefined) throw new Error(`${name}: expected a host, host:port or URL`)
  return { s, rest }
}

/** Reads `API_HOST` and `WS_HOST`, each with `HOST` and then the other as default; undefined if all are unset. */
export function addressesOf(env: Environment): Addresses | undefined {
  const host = placeOf(env, 'HOST')
  const apiHost = placeOf(env, 'API_HOST')
  const wsHost = placeOf(env, 'WS_HOST')
  const api = apiHost ?? host ?? wsHost
  const ws = wsHost ?? host ?? apiHost
  if (api === undefined || ws === undefined) return undefined
  return { apiUrl: `http${api.s}://${api.rest}`, wsUrl: `ws${ws.s}://${ws.rest}` }
}

function batchSizeOf(env: Environment): number {
  const text = textOf(env, 'BATCH_SIZE') ?? DEFAULT_BATCH_SIZE
  const size = /^\d{1,3}$/.test(text) ? Number(text) : 0
  if (size < 1 || size > MAX_BATCH_SIZE) throw new Error(`BATCH_SIZE: expected 1–${MAX_BATCH_SIZE}`)
  return size
}

function channelsOf(env: Environment): readonly string[] {
  const names = (textOf(env, 'CHANNELS') ?? DEFAULT_CHANNELS).split(',').map(name => name.trim())
  if (names.includes('')) throw new Error('CHANNELS: expected names of channels, separated by commas')
  return [...new Set(names)]
}

/** Reads the inputs; throws an error of one line that names the variable. */
export function readInputs(env: Environment): Inputs {
  const addresses = addressesOf(env)
  if (addresses === undefined) throw new Error('HOST: expected a host, host:port or URL')
  const profile = profileOf(textOf(env, 'PROFILE') ?? '')
  if (profile === undefined) throw new Error('PROFILE: expected the name of a profile')
  return {
    ...addresses,
    apiKey: textOf(env, 'API_KEY'),
    jwtToken: textOf(env, 'JWT_TOKEN'),
    jwtSecret: textOf(env, 'JWT_SECRET'),
    channels: channelsOf(env),
    batchSize: batchSizeOf(env),
    profile,
  }
}
