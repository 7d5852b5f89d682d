import * as v from 'valibot'

/** A problem with a setting: one line that names it and what was expected, never its value. */
export class ConfigError extends Error {}

const text = v.string()
const whole = (min: number, max: number, unit = '') =>
  v.pipe(
    v.string(),
    v.regex(/^-?\d{1,15}$/),
    v.transform(Number),
    v.minValue(min),
    v.maxValue(max),
    v.metadata({ expected: max === Number.MAX_SAFE_INTEGER ? `a whole number from ${min}${unit}` : `a whole number from ${min} to ${max}${unit}` }),
  )
const count = whole(0, Number.MAX_SAFE_INTEGER)
const seconds = (max: number, min = 1) => whole(min, max, ' (seconds)')
const boolean = v.pipe(
  v.string(),
  v.toLowerCase(),
  v.picklist(['true', '1', 'yes', 'on', 'false', '0', 'no', 'off']),
  v.transform(word => ['true', '1', 'yes', 'on'].includes(word)),
  v.metadata({ expected: 'true or false' }),
)
const list = v.pipe(
  v.string(),
  v.transform((line): readonly string[] => line.split(',').map(item => item.trim()).filter(item => item !== '')),
)
const oneOf = <const T extends readonly [string, ...string[]]>(words: T) =>
  v.pipe(v.string(), v.toLowerCase(), v.picklist(words), v.metadata({ expected: `one of ${words.join(', ')}` }))
const matching = (pattern: RegExp, expected: string) => v.pipe(v.string(), v.regex(pattern), v.metadata({ expected }))

const LEVELS = ['error', 'warn', 'info', 'debug', 'trace'] as const
const ALGORITHMS = ['HS256', 'HS384', 'HS512', 'RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512', 'EdDSA']
const algorithms = v.pipe(
  list,
  v.check(names => names.every(name => ALGORITHMS.includes(name))),
  v.metadata({ expected: `a list of ${ALGORITHMS.join(' ')}` }),
)
const isOrigin = (text: string) => text === '*' || (URL.canParse(text) && new URL(text).origin === text)
const origins = v.pipe(
  list,
  v.check(items => items.every(isOrigin)),
  v.metadata({ expected: 'a list of origins such as https://app.example.com, or *' }),
)
const httpUrl = v.pipe(
  v.string(),
  v.check(text => URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)),
  v.metadata({ expected: 'an http or https URL' }),
)

/**
 * Every setting: how its text is read, its default as text, and what it means. The table makes the Config, `.env.example`
 * and `docs/SETTINGS.md`; `default: undefined` means unset, `computed` says in words what an unset one becomes.
 */
export const SETTINGS = {
  SERVER_HOST: { group: 'Server', schema: matching(/^\S+$/, 'an address'), default: '0.0.0.0', help: 'listen address' },
  SERVER_PORT: { group: 'Server', schema: whole(0, 65_535), default: '8081', help: 'listen port; 0 = any free one' },
  RUN_MODE: { group: 'Server', schema: text, default: 'development', help: '`production` or `prod`: strict start, masked 5xx messages, JSON logs; anything else is development' },
  NODE_ID: { group: 'Server', schema: matching(/^[A-Za-z0-9_.-]{1,64}$/, '1 to 64 of A-Z a-z 0-9 _ . -'), default: undefined, computed: 'random', help: 'name of this node' },
  DRAIN_SECONDS: { group: 'Server', schema: seconds(3600, 0), default: '10', help: 'over how many seconds connections are closed on SIGTERM' },
  LOG_LEVEL: { group: 'Logs', schema: oneOf(LEVELS), default: undefined, computed: 'info', help: 'error warn info debug trace' },
  RUST_LOG: { group: 'Logs', schema: text, default: undefined, computed: 'info', help: 'alias of LOG_LEVEL, which wins; of a list the first bare level' },
  LOG_FORMAT: { group: 'Logs', schema: oneOf(['text', 'json']), default: undefined, computed: 'text; in production json', help: 'text or json' },
  JWT_SECRET: { group: 'Clients', schema: text, default: undefined, secret: true, help: 'key of HS256/384/512 tokens; in production at least 32 bytes' },
  JWT_SECRET_PREVIOUS: { group: 'Clients', schema: text, default: undefined, secret: true, help: 'also accepted, for rotation' },
  JWT_ISSUER: { group: 'Clients', schema: text, default: undefined, help: 'when set, `iss` must equal it' },
  JWT_AUDIENCE: { group: 'Clients', schema: text, default: undefined, help: 'when set, `aud` must be or contain it' },
  JWT_ALGORITHMS: { group: 'Clients', schema: algorithms, default: undefined, computed: 'HS256 with a secret; else what the public key or key set fits', help: 'allowed algorithms' },
  JWT_PUBLIC_KEY: { group: 'Clients', schema: text, default: undefined, help: 'PEM (SPKI or X.509) or its path, for RS, ES and EdDSA tokens' },
  JWT_JWKS_URL: { group: 'Clients', schema: httpUrl, default: undefined, help: 'key set for RS, ES and EdDSA tokens' },
  JWT_LEEWAY_SECONDS: { group: 'Clients', schema: seconds(300, 0), default: '60', help: 'clock tolerance for `exp` and `nbf`' },
  CHANNEL_ACCESS: { group: 'Clients', schema: oneOf(['open', 'claims']), default: 'open', help: '`claims`: a token without the claim `channels` may subscribe to nothing' },
  API_KEY: { group: 'Callers', schema: list, default: undefined, secret: true, help: 'keys of the backends, comma-separated; in production each at least 16 characters' },
  CORS_ORIGINS: { group: 'Callers', schema: origins, default: undefined, computed: 'any', help: 'origins allowed to call and to connect' },
  ALLOWED_ORIGINS: { group: 'Callers', schema: origins, default: undefined, computed: 'any', help: 'alias of CORS_ORIGINS' },
  WEBSOCKET_HEARTBEAT_INTERVAL: { group: 'Connections', schema: seconds(3600), default: '30', help: 'seconds between heartbeat messages and pings' },
  WEBSOCKET_CONNECTION_TIMEOUT: { group: 'Connections', schema: seconds(Number.MAX_SAFE_INTEGER), default: '120', help: 'seconds of silence allowed; above the heartbeat interval' },
  WEBSOCKET_CLEANUP_INTERVAL: { group: 'Connections', schema: seconds(3600), default: '60', help: 'seconds between checks for silence' },
  WEBSOCKET_MAX_CONNECTIONS: { group: 'Connections', schema: count, default: '10000', help: 'open connections of this node; 0 = no limit' },
  WEBSOCKET_MAX_CONNECTIONS_PER_USER: { group: 'Connections', schema: count, default: '5', help: 'open connections of one user; 0 = no limit' },
  WEBSOCKET_MAX_SUBSCRIPTIONS_PER_CONNECTION: { group: 'Connections', schema: count, default: '50', help: 'channels one connection may hold; 0 = no limit' },
  SEND_BUFFER_BYTES: { group: 'Connections', schema: whole(65_536, 67_108_864), default: '1048576', help: 'what may wait for a client that reads slowly before it is cut' },
  COALESCE_MS: { group: 'Connections', schema: whole(0, 20), default: '0', help: 'milliseconds a channel or broadcast frame may wait to be written together with others' },
  QUEUE_ENABLED: { group: 'Log', schema: boolean, default: 'false', help: 'keep a log for each user: away users get what they missed' },
  QUEUE_MAX_SIZE_PER_USER: { group: 'Log', schema: whole(1, 1_000_000), default: '100', help: 'entries kept per user' },
  QUEUE_MESSAGE_TTL_SECONDS: { group: 'Log', schema: seconds(2_592_000), default: '3600', help: 'age at which an entry leaves the log' },
  QUEUE_CLEANUP_INTERVAL_SECONDS: { group: 'Log', schema: seconds(86_400), default: '300', help: 'seconds between physical removals of what ended' },
  STORE_URL: { group: 'Log', schema: v.pipe(v.string(), v.picklist(['memory:']), v.metadata({ expected: 'memory:' })), default: 'memory:', help: 'where logs are kept; `memory:` lives as long as the process' },
} as const satisfies Record<string, Setting>

interface Setting {
  readonly group: string
  readonly schema: v.GenericSchema<string, unknown>
  readonly default: string | undefined
  readonly computed?: string
  readonly secret?: true
  readonly help: string
}

type Table = typeof SETTINGS
type Name = keyof Table
type Camel<S extends string> = S extends `${infer Head}_${infer Tail}` ? `${Lowercase<Head>}${Capitalize<Camel<Tail>>}` : Lowercase<S>
type Read<N extends Name> = Table[N]['default'] extends string ? v.InferOutput<Table[N]['schema']> : v.InferOutput<Table[N]['schema']> | undefined
type Raw = { readonly [N in Name as Camel<N>]: Read<N> }

/** Aliases resolved and computed defaults filled in. */
export interface Config extends Omit<Raw, 'rustLog' | 'allowedOrigins' | 'runMode'> {
  readonly production: boolean
  readonly nodeId: string
  readonly logLevel: (typeof LEVELS)[number]
  readonly logFormat: 'text' | 'json'
  readonly apiKey: readonly string[]
  readonly corsOrigins: readonly string[]
  readonly jwtAlgorithms: readonly string[]
  /** True when no key of any kind was given: development makes a secret for this run. */
  readonly madeSecret: boolean
}

export interface Loaded {
  readonly config: Config
  /** Things worth a line at start that do not stop it. */
  readonly warnings: readonly string[]
}

/** Names known from version 1 or elsewhere that have no effect here, and what replaces them. */
const REPLACED: Readonly<Record<string, string | undefined>> = {
  ...Object.fromEntries(
    'QUEUE_BACKEND ACK_BACKEND DATABASE_URL DATABASE_POOL_SIZE DATABASE_CONNECT_TIMEOUT_SECONDS DATABASE_IDLE_TIMEOUT_SECONDS QUEUE_REDIS_PREFIX ACK_REDIS_PREFIX'
      .split(' ')
      .map(name => [name, 'STORE_URL']),
  ),
  ...Object.fromEntries(
    'CLUSTER_ENABLED CLUSTER_SESSION_PREFIX CLUSTER_SESSION_TTL_SECONDS CLUSTER_ROUTING_CHANNEL'.split(' ').map(name => [name, 'BUS_URL']),
  ),
  CLUSTER_SERVER_ID: 'NODE_ID',
  RATELIMIT_BACKEND: undefined,
  RATELIMIT_REDIS_PREFIX: undefined,
}

const MIN_SECRET_BYTES = 32
const MIN_KEY_CHARACTERS = 16

const camel = (name: string) => name.toLowerCase().replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())

/** What a setting expects, in words, for refusals and the settings table. */
export function expectation(setting: Setting): string {
  const { expected } = v.getMetadata(setting.schema as v.GenericSchema<string, unknown> & { pipe?: never }) as { expected?: string }
  return expected ?? 'text'
}

function read(name: Name, env: Environment): unknown {
  const setting: Setting = SETTINGS[name]
  const given = env[name]
  const value = given === undefined || given === '' ? setting.default : given
  if (value === undefined) return undefined
  const result = v.safeParse(setting.schema, value)
  if (!result.success) throw new ConfigError(`${name}: expected ${expectation(setting)}`)
  return result.output
}

export type Environment = Readonly<Record<string, string | undefined>>

function levelOf(raw: Raw): (typeof LEVELS)[number] {
  if (raw.logLevel !== undefined || raw.rustLog === undefined) return raw.logLevel ?? 'info'
  const words = raw.rustLog.split(',').map(word => word.trim().toLowerCase())
  const level = LEVELS.find(known => known === words.find(word => LEVELS.some(each => each === word)))
  if (level === undefined) throw new ConfigError(`RUST_LOG: expected one of ${LEVELS.join(', ')}`)
  return level
}

function originsOf({ corsOrigins, allowedOrigins }: Raw): readonly string[] {
  if (corsOrigins !== undefined && allowedOrigins !== undefined && corsOrigins.join() !== allowedOrigins.join())
    throw new ConfigError('ALLOWED_ORIGINS: expected the same as CORS_ORIGINS, or only one of them set')
  return corsOrigins ?? allowedOrigins ?? []
}

const isSymmetric = (algorithm: string) => algorithm.startsWith('HS')

function algorithmsOf(raw: Raw, hasSecret: boolean): readonly string[] {
  const hasPublic = raw.jwtPublicKey !== undefined || raw.jwtJwksUrl !== undefined
  const { jwtAlgorithms: given } = raw
  if (given === undefined) return hasSecret ? ['HS256'] : ALGORITHMS.filter(name => !isSymmetric(name))
  const unfit = given.find(name => (isSymmetric(name) ? !hasSecret : !hasPublic))
  if (unfit !== undefined || given.length === 0)
    throw new ConfigError(`JWT_ALGORITHMS: expected only algorithms with a fitting key (JWT_SECRET for HS*, JWT_PUBLIC_KEY or JWT_JWKS_URL for the others)`)
  return given
}

function checkSecrets(raw: Raw, production: boolean, warnings: string[]): void {
  const secrets = { JWT_SECRET: raw.jwtSecret, JWT_SECRET_PREVIOUS: raw.jwtSecretPrevious }
  for (const [name, secret] of Object.entries(secrets)) {
    if (secret === undefined || Buffer.byteLength(secret) >= MIN_SECRET_BYTES) continue
    if (production) throw new ConfigError(`${name}: expected at least ${MIN_SECRET_BYTES} bytes in production`)
    warnings.push(`${name} is under ${MIN_SECRET_BYTES} bytes: fine for development, refused in production`)
  }
  if (!production) return
  if (raw.jwtSecret === undefined && raw.jwtPublicKey === undefined && raw.jwtJwksUrl === undefined)
    throw new ConfigError(`JWT_SECRET: expected at least ${MIN_SECRET_BYTES} bytes in production (or JWT_PUBLIC_KEY or JWT_JWKS_URL)`)
  if (raw.apiKey === undefined || raw.apiKey.length === 0 || raw.apiKey.some(key => [...key].length < MIN_KEY_CHARACTERS))
    throw new ConfigError(`API_KEY: expected keys of at least ${MIN_KEY_CHARACTERS} characters in production`)
}

/** Reads the environment. Throws ConfigError for anything the service must not start with (contract §16). */
export function loadConfig(env: Environment): Loaded {
  // The table above names every key of Raw once.
  const raw = Object.fromEntries(Object.keys(SETTINGS).map(name => [camel(name), read(name as Name, env)])) as unknown as Raw
  const warnings = Object.keys(REPLACED)
    .filter(name => env[name])
    .map(name => `${name} has no effect${REPLACED[name] === undefined ? '' : `; use ${REPLACED[name]}`}`)
  const production = raw.runMode === 'production' || raw.runMode === 'prod'
  if (raw.websocketConnectionTimeout <= raw.websocketHeartbeatInterval)
    throw new ConfigError('WEBSOCKET_CONNECTION_TIMEOUT: expected more than WEBSOCKET_HEARTBEAT_INTERVAL')
  checkSecrets(raw, production, warnings)
  const madeSecret = raw.jwtSecret === undefined && raw.jwtPublicKey === undefined && raw.jwtJwksUrl === undefined
  const jwtSecret = madeSecret ? Buffer.from(crypto.getRandomValues(new Uint8Array(48))).toString('base64url') : raw.jwtSecret
  const corsOrigins = originsOf(raw)
  if (production && corsOrigins.length === 0) warnings.push('CORS_ORIGINS is empty: every origin may connect')
  const { rustLog: _, allowedOrigins: __, runMode: ___, ...rest } = raw
  const config: Config = {
    ...rest,
    jwtSecret,
    production,
    madeSecret,
    corsOrigins,
    apiKey: raw.apiKey ?? [],
    nodeId: raw.nodeId ?? crypto.randomUUID().slice(0, 8),
    logLevel: levelOf(raw),
    logFormat: raw.logFormat ?? (production ? 'json' : 'text'),
    jwtAlgorithms: algorithmsOf(raw, jwtSecret !== undefined),
  }
  return { config, warnings }
}
