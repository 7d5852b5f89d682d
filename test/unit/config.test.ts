import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { type Config, ConfigError, type Environment, loadConfig } from '../../src/config/config.ts'
import { expectation, SETTINGS } from '../../src/config/settings.ts'
import { parseRange } from '../../src/lib/system/address.ts'

function rangeOf(text: string) {
  const range = parseRange(text)
  if (range === undefined) throw new Error(`${text} is no range`)
  return range
}

const SECRET = 'a-secret-of-thirty-two-bytes-or-more'
const KEY = 'sixteen-or-more-characters'
const PRODUCTION = {
  RUN_MODE: 'production',
  JWT_SECRET: SECRET,
  API_KEY: KEY,
  CORS_ORIGINS: 'https://a.example',
  QUEUE_ENABLED: 'true',
}
const JWKS = 'https://id.example.com/keys'

const pemOf = (key: KeyObject): string => key.export({ type: 'spki', format: 'pem' }).toString().trim()
const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const PEM = pemOf(publicKey)
const PRIVATE_PEM = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBbDCCAROgAwIBAgIUbe4HbOnAbgeQS7OEs9CvEb4ZTVAwCgYIKoZIzj0EAwIw
DDEKMAgGA1UEAwwBYTAeFw0yNjExMjMwNjA0MTNaFw0zNjExMjAwNjA0MTNaMAwx
CjAIBgNVBAMMAWEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATHSpIiAUs+TUWM
IXZsi19TXETxX0aIISoh+vGj8Dgx0vbexn5B915pOvYhwFWt1gQEOyEYJG91BdAj
XgffXD4Mo1MwUTAdBgNVHQ4EFgQUfHHUtJqMXKqaUlXvH5iKOuEsx9gwHwYDVR0j
BBgwFoAUfHHUtJqMXKqaUlXvH5iKOuEsx9gwDwYDVR0TAQH/BAUwAwEB/zAKBggq
hkjOPQQDAgNHADBEAiAfeDaux7NzJxgzRGkVTMCwUWREcAX7DL3G/WWBUG8GlQIg
f2tmPfAJh2P/49nh8ay6p08z3sxQNjc//r3AcDjzE6c=
-----END CERTIFICATE-----`

/** Returns the error text of a refused environment. */
function refusal(env: Environment): string {
  try {
    loadConfig(env)
  } catch (error) {
    if (error instanceof ConfigError) return error.message
    throw error
  }
  return 'loaded'
}

const DEFAULTS: Config = {
  serverHost: '0.0.0.0',
  serverPort: 8081,
  internalPort: 0,
  keepAliveSeconds: 75,
  workers: 1,
  maxSockets: undefined,
  production: false,
  nodeId: expect.stringMatching(/^[0-9a-f]{8}$/),
  drainSeconds: 10,
  logLevel: 'info',
  logFormat: 'text',
  otelEnabled: false,
  otelEndpoint: undefined,
  otelServiceName: undefined,
  otelSamplingRatio: undefined,
  metricsKey: undefined,
  metricsChannelLimit: 0,
  jwtSecret: expect.stringMatching(/^[A-Za-z0-9_-]{64}$/),
  jwtSecretPrevious: undefined,
  jwtIssuer: undefined,
  jwtAudience: undefined,
  jwtAlgorithms: ['HS256'],
  jwtPublicKey: undefined,
  jwtJwksUrl: undefined,
  jwtLeewaySeconds: 60,
  madeSecret: true,
  channelAccess: 'open',
  apiKey: [],
  tenantApiKeys: [],
  trustedProxies: [],
  corsOrigins: [],
  websocketHeartbeatInterval: 30,
  websocketConnectionTimeout: 120,
  websocketCleanupInterval: 60,
  websocketMaxConnections: 10_000,
  websocketMaxConnectionsPerUser: 5,
  websocketMaxSubscriptionsPerConnection: 50,
  sendBufferBytes: 1_048_576,
  sendBuffersTotalBytes: 268_435_456,
  coalesceMs: 0,
  ratelimitEnabled: false,
  ratelimitHttpRequestsPerSecond: 100,
  ratelimitHttpBurstSize: 200,
  ratelimitWsConnectionsPerMinute: 10,
  ratelimitWsMessagesPerSecond: 50,
  ratelimitCleanupIntervalSeconds: 60,
  tenantEnabled: false,
  tenantDefaultMaxConnections: 1000,
  tenantDefaultMaxConnectionsPerUser: 5,
  tenantDefaultMaxSubscriptionsPerConnection: 50,
  tenantOverrides: new Map(),
  ackEnabled: false,
  ackTimeoutSeconds: 30,
  ackCleanupIntervalSeconds: 60,
  ackMaxDeliveries: 3,
  queueEnabled: false,
  idempotencyTtlSeconds: 86_400,
  queueMaxSizePerUser: 100,
  queueMessageTtlSeconds: 3600,
  queueCleanupIntervalSeconds: 300,
  storeUrl: { kind: 'memory' },
  busUrl: { kind: 'none' },
  redisStream: undefined,
  redisStreamGroup: 'ara',
  storeSync: 'full',
  storeReplicas: 0,
  storeMaxBytes: 0,
  tenantMaxStoredBytes: 0,
  redisUrl: { hosts: [{ host: 'localhost', port: 6379 }], tls: false, db: 0 },
  redisChannels: ['notification:user:*', 'notification:broadcast', 'notification:channel:*'],
  redisCircuitBreakerFailureThreshold: 5,
  redisCircuitBreakerSuccessThreshold: 2,
  redisCircuitBreakerResetTimeoutSeconds: 30,
  redisBackoffInitialDelayMs: 100,
  redisBackoffMaxDelayMs: 30_000,
}

describe('have defaults', () => {
  test('an empty environment means development without an API key', () => {
    expect(loadConfig({})).toStrictEqual({ config: DEFAULTS, warnings: [] })
  })

  test('an empty variable means its default, but an empty REDIS_URL means no Redis', () => {
    const env = Object.fromEntries(Object.keys(SETTINGS).map(name => [name, '']))
    expect(loadConfig(env)).toStrictEqual({ config: { ...DEFAULTS, redisUrl: undefined }, warnings: [] })
  })

  test('names of other programs are ignored', () => {
    expect(loadConfig({ PATH: '/bin', SERVER_PROT: 'x', constructor: 'x', serverPort: '1' }).config).toEqual(
      DEFAULTS,
    )
  })

  test('the generated secret and node id differ per start', () => {
    const [one, two] = [loadConfig({}).config, loadConfig({}).config]
    expect(one.jwtSecret).not.toBe(two.jwtSecret)
    expect(one.nodeId).not.toBe(two.nodeId)
  })

  test('logs are JSON in production unless LOG_FORMAT is set', () => {
    expect(loadConfig(PRODUCTION).config.logFormat).toBe('json')
    expect(loadConfig({ ...PRODUCTION, LOG_FORMAT: 'text' }).config.logFormat).toBe('text')
  })
})

describe('readings', () => {
  test.each<[env: Environment, read: Partial<Config>]>([
    [{ SERVER_PORT: '0' }, { serverPort: 0 }],
    [{ SERVER_PORT: '65535' }, { serverPort: 65_535 }],
    [{ SERVER_HOST: '::1' }, { serverHost: '::1' }],
    [{ NODE_ID: 'eu-1.a_B' }, { nodeId: 'eu-1.a_B' }],
    [{ DRAIN_SECONDS: '0' }, { drainSeconds: 0 }],
    [{ LOG_LEVEL: 'DEBUG' }, { logLevel: 'debug' }],
    [{ LOG_FORMAT: 'json' }, { logFormat: 'json' }],
    [{ JWT_SECRET: SECRET }, { jwtSecret: SECRET, madeSecret: false, jwtAlgorithms: ['HS256'] }],
    [{ JWT_SECRET_PREVIOUS: SECRET }, { jwtSecretPrevious: SECRET, madeSecret: true }],
    [
      { JWT_ISSUER: 'i s', JWT_AUDIENCE: 'a,b' },
      { jwtIssuer: 'i s', jwtAudience: 'a,b' },
    ],
    [{ JWT_ALGORITHMS: ' HS512 ,HS256' }, { jwtAlgorithms: ['HS512', 'HS256'] }],
    [{ JWT_JWKS_URL: JWKS }, { jwtJwksUrl: JWKS, jwtSecret: undefined, madeSecret: false }],
    [{ JWT_JWKS_URL: JWKS }, { jwtAlgorithms: ['RS256', 'ES256', 'EdDSA'] }],
    [{ JWT_JWKS_URL: JWKS, JWT_SECRET: SECRET }, { jwtAlgorithms: ['HS256'] }],
    [
      { JWT_JWKS_URL: JWKS, JWT_SECRET: SECRET, JWT_ALGORITHMS: 'HS256,RS512' },
      { jwtAlgorithms: ['HS256', 'RS512'] },
    ],
    [{ JWT_LEEWAY_SECONDS: '300' }, { jwtLeewaySeconds: 300 }],
    [{ CHANNEL_ACCESS: 'claims' }, { channelAccess: 'claims' }],
    [{ API_KEY: ' one , two ,,' }, { apiKey: ['one', 'two'] }],
    [{ API_KEY: ' , ,' }, { apiKey: [] }],
    [
      { TENANT_API_KEYS: 'acme:k1, globex:k:2 ,acme:k3', TENANT_ENABLED: 'on' },
      {
        tenantEnabled: true,
        tenantApiKeys: [
          { tenant: 'acme', key: 'k1' },
          { tenant: 'globex', key: 'k:2' },
          { tenant: 'acme', key: 'k3' },
        ],
      },
    ],
    [
      { TRUSTED_PROXIES: '10.0.0.0/8, 192.0.2.7 ,2001:DB8::/32,::ffff:172.16.0.0/108' },
      {
        trustedProxies: ['10.0.0.0/8', '192.0.2.7/32', '2001:db8::/32', '172.16.0.0/12'].map(rangeOf),
      },
    ],
    [{ TENANT_OVERRIDES: ' {} ' }, { tenantOverrides: new Map() }],
    [
      {
        TENANT_OVERRIDES:
          '{"acme":{"max_connections":5000,"max_connections_per_user":20,"max_subscriptions_per_connection":100},"constructor":{"max_connections":0},"__proto__":{}}',
      },
      {
        tenantOverrides: new Map([
          [
            'acme',
            { max_connections: 5000, max_connections_per_user: 20, max_subscriptions_per_connection: 100 },
          ],
          ['constructor', { max_connections: 0 }],
          ['__proto__', {}],
        ]),
      },
    ],
    [{ WEBSOCKET_MAX_CONNECTIONS: '0' }, { websocketMaxConnections: 0 }],
    [{ SEND_BUFFER_BYTES: '65536' }, { sendBufferBytes: 65_536 }],
    [{ COALESCE_MS: '20' }, { coalesceMs: 20 }],
    [
      { METRICS_CHANNEL_LIMIT: '1000', METRICS_KEY: 'k' },
      { metricsChannelLimit: 1_000, metricsKey: 'k' },
    ],
    [{ STORE_URL: 'memory:' }, { storeUrl: { kind: 'memory' } }],
    [{ STORE_URL: 'sqlite:a b/ara.db' }, { storeUrl: { kind: 'sqlite', path: 'a b/ara.db' } }],
    [{ STORE_URL: 'sqlite:/ara.db', STORE_SYNC: 'Normal' }, { storeSync: 'normal' }],
    [
      { STORE_URL: 'redis:', REDIS_URL: 'redis://r/3', STORE_REPLICAS: '2' },
      {
        storeUrl: { kind: 'redis', address: { hosts: [{ host: 'r', port: 6379 }], tls: false, db: 3 } },
        redisUrl: { hosts: [{ host: 'r', port: 6379 }], tls: false, db: 3 },
        storeReplicas: 2,
      },
    ],
    [
      { STORE_URL: 'redis+sentinel://u:p@s:1,t/m', REDIS_URL: '' },
      {
        storeUrl: {
          kind: 'redis',
          address: {
            hosts: [
              { host: 's', port: 1 },
              { host: 't', port: 26_379 },
            ],
            master: 'm',
            tls: false,
            username: 'u',
            password: 'p',
            db: 0,
          },
        },
        redisUrl: undefined,
      },
    ],
    [{ REDIS_URL: '' }, { redisUrl: undefined }],
    [{ REDIS_URL: 'rediss://r:1/2' }, { redisUrl: { hosts: [{ host: 'r', port: 1 }], tls: true, db: 2 } }],
    [{ REDIS_CHANNELS: ' a , b*,a,' }, { redisChannels: ['a', 'b*'] }],
    [
      { REDIS_BACKOFF_INITIAL_DELAY_MS: '7', REDIS_BACKOFF_MAX_DELAY_MS: '7' },
      { redisBackoffInitialDelayMs: 7, redisBackoffMaxDelayMs: 7 },
    ],
    [{ RUN_MODE: 'staging' }, { production: false }],
    [PRODUCTION, { production: true }],
    [{ ...PRODUCTION, RUN_MODE: 'prod' }, { production: true }],
  ])('%j', (env, read) => {
    expect(loadConfig(env).config).toMatchObject(read)
  })

  test.each(['true', '1', 'yes', 'on', 'TRUE', 'Yes', 'oN'])('%s is yes', word => {
    expect(loadConfig({ QUEUE_ENABLED: word }).config.queueEnabled).toBe(true)
  })

  test.each(['false', '0', 'no', 'off', 'FALSE', 'No', 'oFF'])('%s is no', word => {
    expect(loadConfig({ QUEUE_ENABLED: word }).config.queueEnabled).toBe(false)
  })
})

describe('aliases', () => {
  test.each<[env: Environment, level: Config['logLevel']]>([
    [{ RUST_LOG: 'warn' }, 'warn'],
    [{ RUST_LOG: 'info,tower=debug' }, 'info'],
    [{ RUST_LOG: 'tower=debug, TRACE ,error' }, 'trace'],
    [{ RUST_LOG: 'tower=debug' }, 'info'],
    [{ RUST_LOG: ' , ' }, 'info'],
    [{ RUST_LOG: 'trace', LOG_LEVEL: 'error' }, 'error'],
    [{ RUST_LOG: 'loud', LOG_LEVEL: 'error' }, 'error'],
  ])('%j', (env, level) => {
    expect(loadConfig(env).config.logLevel).toBe(level)
  })

  test.each<[env: Environment, origins: readonly string[]]>([
    [
      { CORS_ORIGINS: 'https://a.example, http://localhost:3000' },
      ['https://a.example', 'http://localhost:3000'],
    ],
    [{ ALLOWED_ORIGINS: 'https://a.example' }, ['https://a.example']],
    [
      { ALLOWED_ORIGINS: 'https://a.example,*', CORS_ORIGINS: '*,https://a.example' },
      ['*', 'https://a.example'],
    ],
    [{ CORS_ORIGINS: 'capacitor://localhost' }, ['capacitor://localhost']],
  ])('%j', (env, origins) => {
    expect(loadConfig(env).config.corsOrigins).toEqual(origins)
  })
})

describe('a public key', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'config-'))
    await Bun.write(join(folder, 'key.pem'), `a comment\n${PEM}\n`)
    await Bun.write(join(folder, 'no.pem'), 'not a key at all')
  })
  afterAll(() => rm(folder, { recursive: true }))

  test.each<[what: string, given: () => string, pem: string]>([
    ['text', () => PEM, PEM],
    ['text on one line', () => PEM.replaceAll('\n', '\\n'), PEM],
    ['a certificate', () => CERTIFICATE, CERTIFICATE],
    ['a path', () => join(folder, 'key.pem'), PEM],
  ])('given as %s becomes PEM text', (_, given, pem) => {
    const { config, warnings } = loadConfig({ JWT_PUBLIC_KEY: given() })
    expect(config).toMatchObject({
      jwtPublicKey: pem,
      jwtSecret: undefined,
      madeSecret: false,
      jwtAlgorithms: ['RS256', 'ES256', 'EdDSA'],
    })
    expect(warnings).toEqual([])
  })

  test.each<[what: string, given: () => string]>([
    ['a missing file', () => join(folder, 'missing.pem')],
    ['a folder', () => folder],
    ['a file without a key', () => join(folder, 'no.pem')],
    ['text that is no PEM', () => 'MFkwEwYHKoZIzj0CAQYIKoZI'],
    ['PEM around something else', () => '-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----'],
    ['a private key', () => PRIVATE_PEM],
  ])('refuses %s', (_, given) => {
    expect(refusal({ JWT_PUBLIC_KEY: given() })).toBe(
      'JWT_PUBLIC_KEY: expected PEM (SPKI or X.509) or the path of a file with it',
    )
  })
})

const ADDRESS = 'no query; @, :, /, # and % in a user or password percent-encoded; /db is a whole number'
const REDIS = `redis://host:port/db, rediss://host:port/db, redis+sentinel://host:port,host:port/master/db or empty (${ADDRESS})`
const TENANT_KEYS = 'a list of tenant:key; a tenant is 1 to 64 of A-Z a-z 0-9 _ . -'
const OVERRIDES =
  'a JSON object of tenants with max_connections, max_connections_per_user, max_subscriptions_per_connection (whole numbers from 0)'

const STORES = `memory:, sqlite:/path/of/the/file, redis: (the server of REDIS_URL), redis://host:port/db, rediss://host:port/db or redis+sentinel://host:port,host:port/master/db (${ADDRESS})`
const REFUSED: readonly (readonly [name: string, value: string, expected: string])[] = [
  ['SERVER_HOST', 'two words', 'an address'],
  ['SERVER_PORT', 'http', 'a whole number from 0 to 65535'],
  ['SERVER_PORT', '65536', 'a whole number from 0 to 65535'],
  ['SERVER_PORT', '-1', 'a whole number from 0 to 65535'],
  ['SERVER_PORT', '8081.0', 'a whole number from 0 to 65535'],
  ['SERVER_PORT', '0x1f91', 'a whole number from 0 to 65535'],
  ['SERVER_PORT', '8e3', 'a whole number from 0 to 65535'],
  ['SERVER_PORT', ' ', 'a whole number from 0 to 65535'],
  ['SERVER_PORT', '٨٠٨١', 'a whole number from 0 to 65535'],
  ...['0', '257', '1.5', '2 ', '1e2', '0x2', 'all'].map(
    value => ['WORKERS', value, 'a whole number from 1 to 256, or auto'] as const,
  ),
  ['NODE_ID', 'a/b', '1 to 64 of A-Z a-z 0-9 _ . -'],
  ['NODE_ID', 'n'.repeat(65), '1 to 64 of A-Z a-z 0-9 _ . -'],
  ['DRAIN_SECONDS', '3601', 'whole seconds from 0 to 3600'],
  ['DRAIN_SECONDS', '10s', 'whole seconds from 0 to 3600'],
  ['LOG_LEVEL', 'verbose', 'one of error, warn, info, debug, trace'],
  ['RUST_LOG', 'verbose', 'one of error, warn, info, debug, trace'],
  ['LOG_FORMAT', 'yaml', 'one of text, json'],
  ['JWT_JWKS_URL', 'id.example.com/keys', 'an http or https URL'],
  ['JWT_JWKS_URL', 'file:///etc/keys', 'an http or https URL'],
  ['JWT_LEEWAY_SECONDS', '301', 'whole seconds from 0 to 300'],
  ['CHANNEL_ACCESS', 'closed', 'one of open, claims'],
  [
    'CORS_ORIGINS',
    'app.example.com',
    'a list of origins such as https://app.example.com (no wildcards inside), null, or *',
  ],
  [
    'CORS_ORIGINS',
    'https://app.example.com/',
    'a list of origins such as https://app.example.com (no wildcards inside), null, or *',
  ],
  [
    'CORS_ORIGINS',
    'https://a.example,https://b.example/x',
    'a list of origins such as https://app.example.com (no wildcards inside), null, or *',
  ],
  [
    'ALLOWED_ORIGINS',
    'https://*.example.com/',
    'a list of origins such as https://app.example.com (no wildcards inside), null, or *',
  ],
  [
    'ALLOWED_ORIGINS',
    'https://*.example.com',
    'a list of origins such as https://app.example.com (no wildcards inside), null, or *',
  ],
  ...[
    'acme',
    'acme:',
    'acme: key-after-a-blank',
    ':key',
    'ac me:key',
    'acme:one,two',
    `${'t'.repeat(65)}:key`,
  ].map(value => ['TENANT_API_KEYS', value, TENANT_KEYS] as const),
  ...[
    '10.0.0.0/',
    '10.0.0.0/33',
    '10.0.0.0/08',
    '10.0.0.0/-1',
    '10.0.0.0/8/8',
    '10.1/16',
    '010.0.0.0/8',
    '0x0a.0.0.1',
    '::1/129',
    '::ffff:10.0.0.0/8',
    'fe80::1%eth0',
    'localhost',
    '*',
    '10.0.0.1,elsewhere',
  ].map(value => ['TRUSTED_PROXIES', value, 'a list of addresses and networks such as 10.0.0.0/8'] as const),
  ...[
    'acme',
    '[]',
    'null',
    '5',
    '{"acme":5}',
    '{"acme":null}',
    '{"acme":[]}',
    '{"ac me":{}}',
    '{"":{}}',
    '{"acme":{"max_conections":5}}',
    '{"acme":{"max_connections":-1}}',
    '{"acme":{"max_connections":1.5}}',
    '{"acme":{"max_connections":"5"}}',
    '{"acme":{"max_connections":null}}',
    '{"acme":{"max_connections":1e400}}',
    '{"acme":{}',
  ].map(value => ['TENANT_OVERRIDES', value, OVERRIDES] as const),
  ['TENANT_ENABLED', 'maybe', 'true or false'],
  ['TENANT_DEFAULT_MAX_CONNECTIONS', '-1', 'a whole number from 0'],
  ['TENANT_DEFAULT_MAX_CONNECTIONS_PER_USER', 'five', 'a whole number from 0'],
  ['TENANT_DEFAULT_MAX_SUBSCRIPTIONS_PER_CONNECTION', '1.5', 'a whole number from 0'],
  ['RATELIMIT_ENABLED', '10', 'true or false'],
  ['RATELIMIT_HTTP_REQUESTS_PER_SECOND', '0', 'a whole number from 1'],
  ['RATELIMIT_HTTP_BURST_SIZE', '0', 'a whole number from 1'],
  ['RATELIMIT_WS_CONNECTIONS_PER_MINUTE', '0', 'a whole number from 1'],
  ['RATELIMIT_WS_MESSAGES_PER_SECOND', '0.5', 'a whole number from 1'],
  ['RATELIMIT_CLEANUP_INTERVAL_SECONDS', '0', 'whole seconds from 1 to 3600'],
  ['RATELIMIT_CLEANUP_INTERVAL_SECONDS', '3601', 'whole seconds from 1 to 3600'],
  ['WEBSOCKET_HEARTBEAT_INTERVAL', '0', 'whole seconds from 1 to 3600'],
  ['WEBSOCKET_CONNECTION_TIMEOUT', '0', 'whole seconds from 1'],
  ['WEBSOCKET_CONNECTION_TIMEOUT', '30', 'more than WEBSOCKET_HEARTBEAT_INTERVAL'],
  ['WEBSOCKET_CLEANUP_INTERVAL', '3601', 'whole seconds from 1 to 3600'],
  ['WEBSOCKET_MAX_CONNECTIONS', '-5', 'a whole number from 0'],
  ['WEBSOCKET_MAX_CONNECTIONS_PER_USER', '1_000', 'a whole number from 0'],
  ['WEBSOCKET_MAX_SUBSCRIPTIONS_PER_CONNECTION', 'NaN', 'a whole number from 0'],
  ['SEND_BUFFER_BYTES', '65535', 'a whole number from 65536 to 67108864'],
  ['SEND_BUFFER_BYTES', '1MiB', 'a whole number from 65536 to 67108864'],
  ['COALESCE_MS', '21', 'a whole number from 0 to 20'],
  ['METRICS_CHANNEL_LIMIT', '1001', 'a whole number from 0 to 1000'],
  ['METRICS_CHANNEL_LIMIT', '-1', 'a whole number from 0 to 1000'],
  ['METRICS_KEY', ' key', 'a text without blanks or line breaks around it'],
  ['QUEUE_ENABLED', 'enabled', 'true or false'],
  ['QUEUE_ENABLED', '2', 'true or false'],
  ['QUEUE_MAX_SIZE_PER_USER', '0', 'a whole number from 1 to 1000000'],
  ['QUEUE_MESSAGE_TTL_SECONDS', '2592001', 'whole seconds from 1 to 2592000'],
  ['QUEUE_CLEANUP_INTERVAL_SECONDS', 'Infinity', 'whole seconds from 1 to 86400'],
  ['STORE_URL', 'sqlite:', STORES],
  ['STORE_URL', 'sqlite::memory:', STORES],
  ['STORE_URL', 'memory:x', STORES],
  ['STORE_SYNC', 'off', 'one of full, normal'],
  ['STORE_URL', 'postgres://u:p@db/ara', STORES],
  ['STORE_URL', 'redis', STORES],
  ['STORE_URL', 'redis:localhost', STORES],
  ['STORE_URL', 'redis+sentinel://u:p@db', STORES],
  ['STORE_URL', 'redis://r?db=3', STORES],
  ['STORE_URL', 'redis://r/production', STORES],
  ['STORE_URL', 'redis://:p@ss@r', STORES],
  ['REDIS_URL', 'redis://r/1?timeout=5', REDIS],
  ['REDIS_URL', 'redis://:50%off@r', REDIS],
  ['STORE_REPLICAS', '11', 'a whole number from 0 to 10'],
  ['STORE_REPLICAS', '-1', 'a whole number from 0 to 10'],
  ['REDIS_URL', 'localhost:6379', REDIS],
  ['REDIS_URL', 'http://localhost:6379', REDIS],
  ['REDIS_URL', ' ', REDIS],
  ['REDIS_CHANNELS', ' , ', 'a list of at least one, separated by commas'],
  ['REDIS_CIRCUIT_BREAKER_FAILURE_THRESHOLD', '0', 'a whole number from 1'],
  ['REDIS_CIRCUIT_BREAKER_SUCCESS_THRESHOLD', '0', 'a whole number from 1'],
  ['REDIS_CIRCUIT_BREAKER_RESET_TIMEOUT_SECONDS', '0.5', 'whole seconds from 1'],
  ['REDIS_BACKOFF_INITIAL_DELAY_MS', '0', 'a whole number from 1'],
  ['REDIS_BACKOFF_MAX_DELAY_MS', '99', 'at least REDIS_BACKOFF_INITIAL_DELAY_MS'],
]

describe('refusals', () => {
  test.each(REFUSED)('%s=%s', (name, value, expected) => {
    expect(refusal({ [name]: value })).toBe(`${name}: expected ${expected}`)
  })

  const ALL = 'a list of HS256, HS384, HS512, RS256, RS384, RS512, ES256, ES384, ES512, EdDSA'
  const WITH_KEY =
    'only algorithms with a key (JWT_SECRET for HS*, JWT_PUBLIC_KEY or JWT_JWKS_URL for others)'
  test.each<[env: Environment, expected: string]>([
    [{ JWT_ALGORITHMS: 'none' }, ALL],
    [{ JWT_ALGORITHMS: 'hs256' }, ALL],
    [{ JWT_ALGORITHMS: 'HS256 HS512' }, ALL],
    [{ JWT_ALGORITHMS: ',' }, ALL],
    [{ JWT_ALGORITHMS: 'RS256' }, WITH_KEY],
    [{ JWT_ALGORITHMS: 'HS256,ES256', JWT_SECRET: SECRET }, WITH_KEY],
    [{ JWT_ALGORITHMS: 'HS256', JWT_JWKS_URL: JWKS }, WITH_KEY],
    [{ JWT_ALGORITHMS: 'HS256,RS256', JWT_PUBLIC_KEY: PEM }, WITH_KEY],
  ])('algorithms nobody has a key for: %j', (env, expected) => {
    expect(refusal(env)).toBe(`JWT_ALGORITHMS: expected ${expected}`)
  })

  test('a store on the server of REDIS_URL, which is empty', () => {
    expect(refusal({ STORE_URL: 'redis:', REDIS_URL: '' })).toBe(
      'STORE_URL: expected REDIS_URL to be set, because `redis:` means its server',
    )
  })

  test('a longest wait for Redis below the initial wait', () => {
    const env = { REDIS_BACKOFF_INITIAL_DELAY_MS: '8', REDIS_BACKOFF_MAX_DELAY_MS: '7' }
    expect(refusal(env)).toBe('REDIS_BACKOFF_MAX_DELAY_MS: expected at least REDIS_BACKOFF_INITIAL_DELAY_MS')
  })

  test.each<[what: string, env: Environment, expected: string]>([
    [
      'is in both lists',
      { API_KEY: 'k1,k2', TENANT_API_KEYS: 'acme:k3,globex:k2' },
      'keys that are not in API_KEY too',
    ],
    [
      'is bound to two tenants',
      { TENANT_API_KEYS: 'acme:k1,globex:k1' },
      'each key to be bound to one tenant',
    ],
  ])('a key that %s', (_, env, expected) => {
    for (const mode of ['development', 'production']) {
      const message = refusal({ ...PRODUCTION, ...env, RUN_MODE: mode, TENANT_ENABLED: 'true' })
      expect(message).toBe(`TENANT_API_KEYS: expected ${expected}`)
    }
  })

  test('two different lists of origins', () => {
    const env = { CORS_ORIGINS: 'https://a.example', ALLOWED_ORIGINS: 'https://b.example' }
    expect(refusal(env)).toBe('ALLOWED_ORIGINS: expected the same as CORS_ORIGINS, or only one of them set')
  })

  const NO_SECRET = 'JWT_SECRET: expected at least 32 bytes in production (or JWT_PUBLIC_KEY or JWT_JWKS_URL)'
  const SHORT = 'expected at least 32 bytes in production'
  const NO_KEY = 'API_KEY: expected keys of at least 16 characters in production'
  test.each<[what: string, env: Environment, message: string]>([
    ['no secret', { JWT_SECRET: '' }, NO_SECRET],
    ['a short secret', { JWT_SECRET: SECRET.slice(0, 31) }, `JWT_SECRET: ${SHORT}`],
    [
      'a short secret beside a key set',
      { JWT_SECRET: 'short-one', JWT_JWKS_URL: JWKS },
      `JWT_SECRET: ${SHORT}`,
    ],
    ['a short former secret', { JWT_SECRET_PREVIOUS: 'short-one' }, `JWT_SECRET_PREVIOUS: ${SHORT}`],
    ['only a former secret', { JWT_SECRET: '', JWT_SECRET_PREVIOUS: SECRET }, NO_SECRET],
    ['no API key', { API_KEY: '' }, NO_KEY],
    ['an empty list of API keys', { API_KEY: ' ,' }, NO_KEY],
    ['a short API key', { API_KEY: KEY.slice(0, 15) }, NO_KEY],
    ['a short API key beside a long one', { API_KEY: `${KEY},fifteen-letters` }, NO_KEY],
    ['an API key of few characters and many bytes', { API_KEY: '🔑'.repeat(15) }, NO_KEY],
    [
      'a short key of a tenant',
      { TENANT_API_KEYS: 'acme:fifteen-letters' },
      `TENANT_${NO_KEY.replace('KEY', 'KEYS')}`,
    ],
  ])('production with %s', (_, env, message) => {
    expect(refusal({ ...PRODUCTION, ...env })).toBe(message)
    for (const value of Object.values(env)) if (value !== '') expect(message).not.toContain(value)
  })

  test.each<[what: string, env: Environment]>([
    ['a secret of exactly 32 bytes', { JWT_SECRET: 'ü'.repeat(16) }],
    ['a public key instead of a secret', { JWT_SECRET: '', JWT_PUBLIC_KEY: PEM }],
    ['a key set instead of a secret', { JWT_SECRET: '', JWT_JWKS_URL: JWKS }],
    [
      'keys of tenants instead of others',
      { API_KEY: '', TENANT_API_KEYS: `acme:${KEY}`, TENANT_ENABLED: 'true' },
    ],
    ['two keys for rotation', { API_KEY: `${KEY},${KEY.toUpperCase()}` }],
  ])('production starts with %s', (_, env) => {
    expect(loadConfig({ ...PRODUCTION, ...env })).toMatchObject({
      config: { production: true },
      warnings: [],
    })
  })

  test('a refusal is one line that names the variable and repeats no part of its value', () => {
    const names = fc.constantFrom(...Object.keys(SETTINGS))
    const values = fc.string({ unit: 'binary' }).map(tail => `Zq#${tail}`)
    fc.assert(
      fc.property(names, values, fc.boolean(), (name, value, production) => {
        const message = refusal({ ...(production && PRODUCTION), [name]: value })
        if (message === 'loaded') return
        expect(message).toMatch(/^[A-Z_]+: expected [^\n]+$/)
        expect(message).toStartWith(`${name}: `)
        expect(message).not.toContain('Zq#')
      }),
      { numRuns: 1000 },
    )
  })

  test('each expected text comes from the table that also makes the documents', () => {
    expect(expectation(SETTINGS.SERVER_PORT)).toBe('a whole number from 0 to 65535')
    expect(expectation(SETTINGS.JWT_ALGORITHMS)).toBe(ALL)
    expect(expectation(SETTINGS.OTEL_SERVICE_NAME)).toBe('text')
  })
})

test('REDIS_STREAM needs the Redis of REDIS_URL', () => {
  const expected = 'expected REDIS_URL to be set, because its server has the stream'
  expect(refusal({ REDIS_STREAM: 'orders', REDIS_URL: '' })).toBe(`REDIS_STREAM: ${expected}`)
  const { config, warnings } = loadConfig({ REDIS_STREAM: 'orders', REDIS_STREAM_GROUP: 'g' })
  expect([config.redisStream, config.redisStreamGroup, warnings]).toEqual(['orders', 'g', []])
  expect(loadConfig({ REDIS_STREAM: '', REDIS_URL: '' }).config.redisStream).toBeUndefined()
})

describe('a bus needs', () => {
  const SAME =
    'BUS_URL: expected the server and database of STORE_URL, because one script stores and publishes'
  const SHARED =
    'BUS_URL: expected STORE_URL to be the same Redis, because QUEUE_ENABLED or ACK_ENABLED keep logs that all nodes share'
  const LOCAL =
    'BUS_URL: templates, idempotency keys and revocations stay on each node, because STORE_URL is no Redis'
  const outcomeOf = (env: Environment): readonly string[] => {
    const refused = refusal(env)
    return refused === 'loaded' ? loadConfig({ JWT_SECRET: SECRET, ...env }).warnings : [refused]
  }

  test('without JWT_SECRET nodes warn that each has its own', () => {
    const warnings = (env: Environment) =>
      loadConfig(env).warnings.filter(text => text.includes('JWT_SECRET'))
    expect(warnings({ BUS_URL: 'redis:' })).toEqual([
      'JWT_SECRET is unset: each node generates its own, so a token is valid on one node only',
    ])
    expect(warnings({ BUS_URL: 'redis:', JWT_SECRET: SECRET })).toEqual([])
    expect(warnings({})).toEqual([])
  })

  test.each<[env: Environment, outcome: readonly string[]]>([
    [{ BUS_URL: 'none:' }, []],
    [{ BUS_URL: 'none:', QUEUE_ENABLED: 'true' }, []],
    [{ BUS_URL: 'redis:', QUEUE_ENABLED: 'true' }, [SHARED]],
    [{ BUS_URL: 'redis:', ACK_ENABLED: 'true' }, [SHARED]],
    [{ BUS_URL: 'redis:', QUEUE_ENABLED: 'true', STORE_URL: 'sqlite:/ara.db' }, [SHARED]],
    [{ BUS_URL: 'redis:' }, [LOCAL]],
    [{ BUS_URL: 'redis:', STORE_URL: 'sqlite:/ara.db' }, [LOCAL]],
  ])('the same Redis as store, if there are logs: %j', (env, outcome) => {
    expect(outcomeOf(env)).toEqual(outcome)
  })

  test('the server of REDIS_URL, if it says so', () => {
    expect(refusal({ BUS_URL: 'redis:', REDIS_URL: '' })).toBe(
      'BUS_URL: expected REDIS_URL to be set, because `redis:` means its server',
    )
  })

  test.each<[store: string, bus: string, isSame: boolean]>([
    ['redis:', 'redis:', true],
    ['redis:', 'redis://localhost', true],
    ['redis://localhost', 'redis://127.0.0.1:6379/0', true],
    ['redis://[::1]', 'redis://LOCALHOST', true],
    ['redis://a:secret@Redis.example', 'redis://b:other@redis.example/', true],
    ['redis://r', 'redis://r:6380', false],
    ['redis://r', 'redis://s', false],
    ['redis://r/1', 'redis://r/2', false],
    ['redis://r', 'rediss://r', false],
    ['redis+sentinel://s1,s2/m', 'redis+sentinel://s2,s3/m', true],
    ['redis+sentinel://s1,s2/m', 'redis+sentinel://s3/m', false],
    ['redis+sentinel://s1,s2/m', 'redis+sentinel://s1,s2/n', false],
    ['redis+sentinel://s1,s2/m', 'redis+sentinel://s1,s2/m/1', false],
    ['redis+sentinel://r:6379/m', 'redis://r', false],
  ])('the server and database of the store: %s and %s', (store, bus, isSame) => {
    for (const QUEUE_ENABLED of ['true', 'false'])
      expect(outcomeOf({ STORE_URL: store, BUS_URL: bus, QUEUE_ENABLED })).toEqual(isSame ? [] : [SAME])
  })
})

describe('standard variables of OpenTelemetry', () => {
  const ENDPOINT = 'an http or https URL (for gRPC also host:port with OTEL_EXPORTER_OTLP_INSECURE)'
  const INSECURE = { OTEL_EXPORTER_OTLP_INSECURE: 'true' }
  const HTTP = { OTEL_EXPORTER_OTLP_PROTOCOL: 'http/protobuf' }
  const traced = (env: Environment) => ({ OTEL_ENABLED: 'true', ...env })

  test.each(['OTEL_EXPORTER_OTLP_ENDPOINT', 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'])(
    '%s without a scheme, or no URL at all, is refused',
    name => {
      for (const text of ['127.0.0.1:4317', 'collector:4317', 'ftp://collector', 'http://[bad'])
        for (const env of [{}, HTTP])
          expect(refusal(traced({ ...env, [name]: text }))).toBe(`${name}: expected ${ENDPOINT}`)
      expect(refusal(traced({ [name]: 'collector:4317', ...INSECURE, ...HTTP }))).toStartWith(name)
      expect(refusal(traced({ [name]: 'collector:4317', ...INSECURE }))).toBe('loaded')
      expect(refusal(traced({ [name]: 'https://collector:4317' }))).toBe('loaded')
    },
  )

  test('an address that is not used is not checked', () => {
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4317' }
    expect(refusal(env)).toBe('loaded')
    expect(refusal(traced({ ...env, OTEL_ENDPOINT: 'http://collector:4317' }))).toBe('loaded')
    const traces = { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://collector:4317' }
    expect(refusal(traced({ ...env, ...traces }))).toBe('loaded')
  })

  test('OTEL_TRACES_EXPORTER=none switches traces off; other exporters than otlp are refused', () => {
    const load = (text: string) => loadConfig(traced({ OTEL_TRACES_EXPORTER: text })).config.otelEnabled
    expect([load('none'), load('otlp'), load('')]).toEqual([false, true, true])
    for (const text of ['console', 'zipkin', 'otlp,console'])
      expect(refusal(traced({ OTEL_TRACES_EXPORTER: text }))).toBe(
        'OTEL_TRACES_EXPORTER: expected otlp or none',
      )
  })

  test.each([
    ['OTEL_PROPAGATORS', 'some of tracecontext, baggage, b3, b3multi, none', 'junk', 'tracecontext, b3multi'],
    ['OTEL_PROPAGATORS', 'some of tracecontext, baggage, b3, b3multi, none', 'b3, jaeger, xray', 'none'],
    [
      'OTEL_TRACES_SAMPLER',
      'always_on, always_off or traceidratio, or one of them after parentbased_',
      'jaeger_remote',
      'parentbased_traceidratio',
    ],
    ['OTEL_TRACES_SAMPLER_ARG', 'a number from 0 to 1', '10', '0.25'],
    ['OTEL_EXPORTER_OTLP_COMPRESSION', 'gzip or none', 'zstd', 'gzip'],
    ['OTEL_EXPORTER_OTLP_TRACES_TIMEOUT', 'a whole number', '10s', '5000'],
    ['OTEL_BSP_SCHEDULE_DELAY', 'a whole number', '1s', '500'],
    ['OTEL_SDK_DISABLED', 'true or false', '1', 'TRUE'],
  ])('%s: a value that would be ignored gives one warning', (name, expected, wrong, right) => {
    const warnings = (text: string) => loadConfig(traced({ [name]: text })).warnings
    expect(warnings(wrong)).toEqual([`${name}: expected ${expected}; other values have no effect`])
    expect([...warnings(right), ...warnings(''), ...loadConfig({ [name]: wrong }).warnings]).toEqual([])
  })
})

describe('an unknown name that looks like a setting', () => {
  const warningOf = (name: string) => loadConfig({ [name]: 'x' }).warnings
  test.each([
    ['QUEUE_ENABLE', 'QUEUE_ENABLED'],
    ['QUEUE_ENALBED', 'QUEUE_ENABLED'],
    ['QEUE_ENABLED', 'QUEUE_ENABLED'],
    ['API_KEYS', 'API_KEY'],
    ['SERVER_PROT', 'SERVER_PORT'],
    ['WEBSOCKET_HEARTBEAT', 'WEBSOCKET_HEARTBEAT_INTERVAL'],
    ['STORE_SYNCHRONOUS', 'STORE_SYNC'],
    ['JWT_SECRET_KEY', 'JWT_SECRET'],
    ['ACK_TIMEOUT', 'ACK_TIMEOUT_SECONDS'],
    ['OTEL_ENABLE', 'OTEL_ENABLED'],
    ['REDIS_PASSWORD', 'REDIS_URL'],
    ['OTEL_FOO', 'OTEL_ENABLED'],
    ['BUS_X', 'BUS_URL'],
    ['OTEL_EXPORTER_OTLP_ENDPOIN', 'OTEL_EXPORTER_OTLP_ENDPOINT'],
    ['OTEL_EXPORTR_OTLP_ENDPOINT', 'OTEL_EXPORTER_OTLP_ENDPOINT'],
    ['OTEL_EXPORTER_OTLP_TRACES_HEADER', 'OTEL_EXPORTER_OTLP_TRACES_HEADERS'],
    ['OTEL_PROPAGATOR', 'OTEL_PROPAGATORS'],
    ['OTEL_RESOURCE_ATTRIBUTE', 'OTEL_RESOURCE_ATTRIBUTES'],
  ])('%s is named with the nearest one', (name, nearest) => {
    expect(warningOf(name)).toEqual([
      `${name} is no setting and has no effect; the nearest one is ${nearest}`,
    ])
    expect(loadConfig({ [name]: '' }).warnings).toEqual([])
  })

  test.each([
    'PATH',
    'PORT',
    'HOST',
    'NODE_ENV',
    'LOG',
    'OTEL_EXPORTER_OTLP_ENDPOINT',
    'OTEL_EXPORTER_OTLP_TRACES_HEADERS',
    'OTEL_RESOURCE_ATTRIBUTES',
    'OTEL_TRACES_SAMPLER',
    'OTEL_TRACES_SAMPLER_ARG',
    'OTEL_PROPAGATORS',
    'OTEL_BSP_SCHEDULE_DELAY',
    'OTEL_SDK_DISABLED',
    'OTEL_LOG_LEVEL',
    'OTEL_METRICS_EXPORTER',
    'REDIS_SERVICE_HOST',
    'REDIS_SERVICE_PORT_REDIS',
    'REDIS_PORT_6379_TCP_ADDR',
  ])('%s is of others', name => {
    expect(warningOf(name)).toEqual([])
  })

  test('variables that a cluster sets for a service called redis are ignored', () => {
    expect(loadConfig({ REDIS_PORT: 'tcp://10.0.0.1:6379' }).warnings).toEqual([])
  })
})

describe('warnings', () => {
  const STORE = 'QUEUE_BACKEND ACK_BACKEND DATABASE_URL DATABASE_POOL_SIZE DATABASE_CONNECT_TIMEOUT_SECONDS'
  const STORE_TOO = 'DATABASE_IDLE_TIMEOUT_SECONDS QUEUE_REDIS_PREFIX ACK_REDIS_PREFIX'
  const BUS = 'CLUSTER_ENABLED CLUSTER_SESSION_PREFIX CLUSTER_SESSION_TTL_SECONDS CLUSTER_ROUTING_CHANNEL'
  test.each([
    ...`${STORE} ${STORE_TOO}`.split(' ').map(name => [name, 'use STORE_URL'] as const),
    ...BUS.split(' ').map(name => [name, 'use BUS_URL'] as const),
    ['CLUSTER_SERVER_ID', 'use NODE_ID'] as const,
    ['RATELIMIT_BACKEND', 'nothing replaces it'] as const,
    ['RATELIMIT_REDIS_PREFIX', 'nothing replaces it'] as const,
    ['CONSOLE_ENABLED', 'not available in this version'] as const,
  ])('%s has no effect', (name, advice) => {
    expect(loadConfig({ [name]: 'redis' }).warnings).toEqual([`${name} has no effect; ${advice}`])
    expect(loadConfig({ [name]: '' }).warnings).toEqual([])
  })

  const SHORT = 'is under 32 bytes: fine for development, refused in production'
  const OVERLAP = 'REDIS_CHANNELS: a* and a:b may overlap: a message that matches both is handled twice'
  const UNUSED = 'JWT_PUBLIC_KEY and JWT_JWKS_URL have no effect: JWT_ALGORITHMS allows HS* only'
  test.each<[env: Environment, warnings: readonly string[]]>([
    [{ JWT_SECRET: 'short' }, [`JWT_SECRET ${SHORT}`]],
    [{ JWT_SECRET: SECRET, JWT_SECRET_PREVIOUS: 'short' }, [`JWT_SECRET_PREVIOUS ${SHORT}`]],
    [{ JWT_SECRET: SECRET, JWT_JWKS_URL: JWKS }, [UNUSED]],
    [{ JWT_SECRET: SECRET, JWT_JWKS_URL: JWKS, JWT_ALGORITHMS: 'HS256,RS256' }, []],
    [{ ...PRODUCTION, CORS_ORIGINS: '' }, ['CORS_ORIGINS is empty: every origin may connect']],
    [{ ...PRODUCTION, CORS_ORIGINS: '*' }, []],
    [
      { ...PRODUCTION, QUEUE_ENABLED: '' },
      ['QUEUE_ENABLED and ACK_ENABLED are false: notifications for users who are away are dropped'],
    ],
    [{ ...PRODUCTION, QUEUE_ENABLED: '', ACK_ENABLED: 'true' }, []],
    [
      { TENANT_API_KEYS: 'acme:k' },
      ['TENANT_API_KEYS are bound to no tenant, because TENANT_ENABLED is false'],
    ],
    [{ TENANT_API_KEYS: 'acme:k', TENANT_ENABLED: 'true' }, []],
    [{ TENANT_API_KEYS: ' ,' }, []],
    [
      { RUN_MODE: 'Production' },
      ['RUN_MODE is neither production nor prod: the service runs in development mode'],
    ],
    [{ RUN_MODE: 'staging' }, []],
    [{ REDIS_CHANNELS: 'a*,b*,a:b' }, [OVERLAP]],
    [{ REDIS_CHANNELS: 'a*,b*,a:b', REDIS_URL: '' }, []],
  ])('%j', (env, warnings) => {
    expect(loadConfig(env).warnings).toEqual(warnings)
  })
})
