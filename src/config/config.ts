import { randomBytes, randomUUID } from 'node:crypto'
import * as v from 'valibot'
import { readPublicPem } from '../lib/pem.ts'
import { mayOverlap } from '../lib/redis/glob.ts'
import { itemsOf } from '../lib/setting.ts'
import type { AddressRange } from '../lib/system/address.ts'
import { type Environment, replacedIn, withoutReplaced } from './replaced.ts'
import { expectation, LEVELS, SETTINGS, type Setting } from './settings.ts'
import { type BusUrl, busFault, busOf, type StoreUrl, storeOf } from './storage.ts'
import { exportsTraces, telemetryFault, telemetryWarnings } from './telemetry.ts'
import { keyFault, type TenantKey } from './tenancy.ts'
import { unknownIn } from './unknown.ts'
import { workersFault } from './workers.ts'

export type { Environment } from './replaced.ts'

/** An invalid setting. The message names it and the expected value, never the given one. */
export class ConfigError extends Error {}

/** Default of JWT_ALGORITHMS if only public keys are configured. */
const PUBLIC_ALGORITHMS = ['RS256', 'ES256', 'EdDSA']
const MIN_SECRET_BYTES = 32
const MIN_KEY_CHARACTERS = 16

type Table = typeof SETTINGS
type Name = keyof Table
type Camel<S extends string> = S extends `${infer Head}_${infer Tail}`
  ? `${Lowercase<Head>}${Capitalize<Camel<Tail>>}`
  : Lowercase<S>
type Output<N extends Name> = v.InferOutput<Table[N]['schema']>
type Raw = {
  readonly [N in Name as Camel<N>]: Table[N]['default'] extends string ? Output<N> : Output<N> | undefined
}

/** The settings, with aliases resolved and computed defaults filled in. */
export interface Config extends Omit<Raw, 'rustLog' | 'allowedOrigins' | 'runMode' | 'storeUrl' | 'busUrl'> {
  readonly production: boolean
  readonly storeUrl: StoreUrl
  readonly busUrl: BusUrl
  readonly nodeId: string
  readonly logLevel: (typeof LEVELS)[number]
  readonly logFormat: 'text' | 'json'
  readonly apiKey: readonly string[]
  readonly tenantApiKeys: readonly TenantKey[]
  readonly trustedProxies: readonly AddressRange[]
  readonly corsOrigins: readonly string[]
  readonly jwtAlgorithms: readonly string[]
  /** PEM text (SPKI or X.509), also if the setting is a path. */
  readonly jwtPublicKey: string | undefined
  /** True if no key was given: development generates a secret for this run. */
  readonly madeSecret: boolean
}

interface LoadedConfig {
  readonly config: Config
  /** Problems to log at the start that do not prevent it. */
  readonly warnings: readonly string[]
}

/** All names that are read. */
const knownNames = (): readonly string[] => Object.keys(SETTINGS)
/** `SERVER_PORT` → `serverPort`. */
export const camel = (name: string) =>
  name.toLowerCase().replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())

function read(name: Name, env: Environment): unknown {
  const setting: Setting = SETTINGS[name]
  const value = (setting.mayBeEmpty ? env[name] : env[name] || undefined) ?? setting.default
  if (value === undefined) return undefined
  const result = v.safeParse(setting.schema, value)
  if (!result.success) throw new ConfigError(`${name}: expected ${expectation(setting)}`)
  return result.output
}

/** Reads one setting alone. Throws ConfigError for an invalid value. */
export const readSetting = <N extends Name>(name: N, env: Environment): Raw[Camel<N>] =>
  read(name, env) as Raw[Camel<N>]

/** LOG_LEVEL, else the first bare level of RUST_LOG. Ignores directives such as `tower=debug`. */
function levelOf({ logLevel, rustLog = '' }: Raw): (typeof LEVELS)[number] {
  if (logLevel !== undefined) return logLevel
  const [level] = itemsOf(rustLog.toLowerCase()).flatMap(word => LEVELS.filter(known => known === word))
  if (level === undefined && itemsOf(rustLog).length > 0 && !rustLog.includes('='))
    throw new ConfigError(`RUST_LOG: expected ${expectation(SETTINGS.LOG_LEVEL)}`)
  return level ?? 'info'
}

function originsOf({ corsOrigins, allowedOrigins }: Raw): readonly string[] {
  const differ = new Set(corsOrigins).symmetricDifference(new Set(allowedOrigins)).size > 0
  if (corsOrigins !== undefined && allowedOrigins !== undefined && differ)
    throw new ConfigError('ALLOWED_ORIGINS: expected the same as CORS_ORIGINS, or only one of them set')
  return corsOrigins ?? allowedOrigins ?? []
}

function publicKeyOf({ jwtPublicKey: given }: Raw): string | undefined {
  const pem = given && readPublicPem(given)
  if (given !== undefined && pem === undefined)
    throw new ConfigError('JWT_PUBLIC_KEY: expected PEM (SPKI or X.509) or the path of a file with it')
  return pem
}

const isSymmetric = (algorithm: string) => algorithm.startsWith('HS')
const hasPublicKey = (raw: Raw) => raw.jwtPublicKey !== undefined || raw.jwtJwksUrl !== undefined

function algorithmsOf(raw: Raw, hasSecret: boolean): readonly string[] {
  const given = raw.jwtAlgorithms ?? (hasSecret ? ['HS256'] : PUBLIC_ALGORITHMS)
  if (given.some(name => (isSymmetric(name) ? !hasSecret : !hasPublicKey(raw))))
    throw new ConfigError(
      'JWT_ALGORITHMS: expected only algorithms with a key (JWT_SECRET for HS*, JWT_PUBLIC_KEY or JWT_JWKS_URL for others)',
    )
  return given
}

/** Names of the secrets that are too short. */
const weakSecrets = ({ jwtSecret, jwtSecretPrevious }: Raw): readonly string[] =>
  Object.entries({ JWT_SECRET: jwtSecret, JWT_SECRET_PREVIOUS: jwtSecretPrevious })
    .filter(([, secret]) => secret !== undefined && Buffer.byteLength(secret) < MIN_SECRET_BYTES)
    .map(([name]) => name)

/** Checks the secrets that production requires. */
function checkProduction(raw: Raw): void {
  const enough = `at least ${MIN_SECRET_BYTES} bytes in production`
  const [weak] = weakSecrets(raw)
  if (weak !== undefined) throw new ConfigError(`${weak}: expected ${enough}`)
  if (raw.jwtSecret === undefined && !hasPublicKey(raw))
    throw new ConfigError(`JWT_SECRET: expected ${enough} (or JWT_PUBLIC_KEY or JWT_JWKS_URL)`)
  const { apiKey = [], tenantApiKeys = [], metricsKey } = raw
  const isWeak = (key: string) => [...key].length < MIN_KEY_CHARACTERS
  const strong = `keys of at least ${MIN_KEY_CHARACTERS} characters in production`
  if (tenantApiKeys.some(({ key }) => isWeak(key)))
    throw new ConfigError(`TENANT_API_KEYS: expected ${strong}`)
  if (metricsKey !== undefined && isWeak(metricsKey))
    throw new ConfigError(`METRICS_KEY: expected at least ${MIN_KEY_CHARACTERS} characters in production`)
  if (apiKey.some(isWeak) || apiKey.length + tenantApiKeys.length === 0)
    throw new ConfigError(`API_KEY: expected ${strong}`)
}

/** Warns about overlapping entries: a message that matches two is handled twice. */
const overlapsIn = (entries: readonly string[]): readonly string[] =>
  entries.flatMap((one, n) =>
    entries
      .slice(n + 1)
      .filter(other => mayOverlap(one, other))
      .map(
        other =>
          `REDIS_CHANNELS: ${one} and ${other} may overlap: a message that matches both is handled twice`,
      ),
  )

function warningsOf(
  raw: Raw,
  { production, corsOrigins, jwtAlgorithms, tenantApiKeys, busUrl, storeUrl, madeSecret }: Config,
): readonly string[] {
  const warnings = weakSecrets(raw).map(
    name => `${name} is under ${MIN_SECRET_BYTES} bytes: fine for development, refused in production`,
  )
  if (raw.redisUrl !== undefined) warnings.push(...overlapsIn(raw.redisChannels))
  if (tenantApiKeys.length > 0 && !raw.tenantEnabled)
    warnings.push('TENANT_API_KEYS are bound to no tenant, because TENANT_ENABLED is false')
  if (busUrl.kind === 'redis' && storeUrl.kind !== 'redis')
    warnings.push(
      'BUS_URL: templates, idempotency keys and revocations stay on each node, because STORE_URL is no Redis',
    )
  if (busUrl.kind === 'redis' && madeSecret)
    warnings.push('JWT_SECRET is unset: each node generates its own, so a token is valid on one node only')
  if (production && !raw.queueEnabled && !raw.ackEnabled)
    warnings.push('QUEUE_ENABLED and ACK_ENABLED are false: notifications for users who are away are dropped')
  if (production && corsOrigins.length === 0) warnings.push('CORS_ORIGINS is empty: every origin may connect')
  if (!production && /^\s*prod/i.test(raw.runMode))
    warnings.push('RUN_MODE is neither production nor prod: the service runs in development mode')
  if (hasPublicKey(raw) && jwtAlgorithms.every(isSymmetric))
    warnings.push('JWT_PUBLIC_KEY and JWT_JWKS_URL have no effect: JWT_ALGORITHMS allows HS* only')
  return warnings
}

/** Reads the environment. Throws ConfigError if the service must not start with it. */
export function loadConfig(env: Environment): LoadedConfig {
  // The settings table has every key of Raw exactly once.
  const raw = Object.fromEntries(
    Object.keys(SETTINGS).map(name => [camel(name), read(name as Name, env)]),
  ) as unknown as Raw
  const production = raw.runMode === 'production' || raw.runMode === 'prod'
  if (raw.websocketConnectionTimeout <= raw.websocketHeartbeatInterval)
    throw new ConfigError('WEBSOCKET_CONNECTION_TIMEOUT: expected more than WEBSOCKET_HEARTBEAT_INTERVAL')
  if (raw.internalPort !== 0 && raw.internalPort === raw.serverPort)
    throw new ConfigError('INTERNAL_PORT: expected another port than SERVER_PORT')
  if (raw.redisBackoffMaxDelayMs < raw.redisBackoffInitialDelayMs)
    throw new ConfigError('REDIS_BACKOFF_MAX_DELAY_MS: expected at least REDIS_BACKOFF_INITIAL_DELAY_MS')
  const fault = keyFault(raw.apiKey ?? [], raw.tenantApiKeys ?? [])
  if (fault !== undefined) throw new ConfigError(`TENANT_API_KEYS: expected ${fault}`)
  if (production) checkProduction(raw)
  const otelFault = raw.otelEnabled ? telemetryFault(env, raw.otelEndpoint !== undefined) : undefined
  if (otelFault !== undefined) throw new ConfigError(otelFault)
  const storeUrl = storeOf(raw.storeUrl, raw.redisUrl)
  if (storeUrl === undefined)
    throw new ConfigError('STORE_URL: expected REDIS_URL to be set, because `redis:` means its server')
  if (raw.redisStream !== undefined && raw.redisUrl === undefined)
    throw new ConfigError('REDIS_STREAM: expected REDIS_URL to be set, because its server has the stream')
  const busUrl = busOf(raw.busUrl, raw.redisUrl)
  if (busUrl === undefined)
    throw new ConfigError('BUS_URL: expected REDIS_URL to be set, because `redis:` means its server')
  const logEnabled = raw.queueEnabled || raw.ackEnabled
  const faultOfWorkers = workersFault({ count: raw.workers, busUrl, storeUrl, logEnabled })
  if (faultOfWorkers !== undefined) throw new ConfigError(`WORKERS: expected ${faultOfWorkers}`)
  const faultOfBus = busFault({ busUrl, storeUrl, logEnabled })
  if (faultOfBus !== undefined) throw new ConfigError(`BUS_URL: expected ${faultOfBus}`)

  const madeSecret = raw.jwtSecret === undefined && !hasPublicKey(raw)
  const jwtSecret = madeSecret ? randomBytes(48).toString('base64url') : raw.jwtSecret
  const { rustLog: _, allowedOrigins: __, runMode: ___, ...rest } = raw
  const config: Config = {
    ...rest,
    production,
    otelEnabled: raw.otelEnabled && exportsTraces(env),
    storeUrl,
    busUrl,
    madeSecret,
    jwtSecret,
    jwtPublicKey: publicKeyOf(raw),
    jwtAlgorithms: algorithmsOf(raw, jwtSecret !== undefined),
    corsOrigins: originsOf(raw),
    apiKey: raw.apiKey ?? [],
    tenantApiKeys: raw.tenantApiKeys ?? [],
    trustedProxies: raw.trustedProxies ?? [],
    nodeId: raw.nodeId ?? randomUUID().slice(0, 8),
    logLevel: levelOf(raw),
    logFormat: raw.logFormat ?? (production ? 'json' : 'text'),
  }
  return {
    config,
    warnings: [
      ...replacedIn(env),
      ...unknownIn(withoutReplaced(env), knownNames()),
      ...(raw.otelEnabled ? telemetryWarnings(env) : []),
      ...warningsOf(raw, config),
    ],
  }
}
