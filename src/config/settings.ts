import { NAME, NAME_RULE } from '../lib/name.ts'
import {
  addressRanges,
  boolean,
  decimal,
  expectedBy,
  httpUrl,
  list,
  matching,
  names,
  oneOf,
  origins,
  type Reader,
  redisUrl,
  seconds,
  someOf,
  text,
  trimmed,
  UNBOUNDED,
  whole,
} from '../lib/setting.ts'
import { busUrl, storeUrl } from './storage.ts'
import { tenantKeys, tenantOverrides } from './tenancy.ts'
import { workers } from './workers.ts'

/** A row of the settings table. */
export interface Setting {
  readonly group: string
  readonly schema: Reader
  /** Default as text; undefined if the setting stays unset. */
  readonly default: string | undefined
  /** True if the empty text is a value, not a request for the default. */
  readonly mayBeEmpty?: boolean
  /** Describes the computed value of an unset setting. */
  readonly computed?: string
  /** True for secrets: logs tell only whether they are set. */
  readonly hidden?: boolean
  readonly help: string
}

export const LEVELS = ['error', 'warn', 'info', 'debug', 'trace'] as const
const ALGORITHMS = ['HS256', 'HS384', 'HS512', 'RS256', 'RS384', 'RS512', 'ES256', 'ES384', 'ES512', 'EdDSA']

/** All settings: schema, default and help. Config, `.env.example` and `docs/SETTINGS.md` are made from this table. */
// biome-ignore format: one row a setting
export const SETTINGS = {
  SERVER_HOST: { group: 'Server', schema: matching(/^\S+$/, 'an address'), default: '0.0.0.0', help: 'listen address' },
  SERVER_PORT: { group: 'Server', schema: whole(0, 65_535), default: '8081', help: 'listen port; 0 = any free one' },
  INTERNAL_PORT: { group: 'Server', schema: whole(0, 65_535), default: '0', help: 'when set, `/metrics`, `/health*`, `/stats`, `/docs`, `/openapi.json` and `/` are served on this port only; 0 = on SERVER_PORT' },
  WORKERS: { group: 'Server', schema: workers, default: '1', help: 'processes that share the port, so that they use several cores; `auto` = one for each core that the process may use; more than one needs Linux, `BUS_URL=redis:` and, with QUEUE_ENABLED or ACK_ENABLED, `STORE_URL=redis:`' },
  MAX_SOCKETS: { group: 'Server', schema: whole(1, UNBOUNDED), default: undefined, computed: 'the limit of open files − 100', help: 'open TCP sockets of the process; beyond it new connections are closed at once; a value is divided by WORKERS, rounded up' },
  KEEP_ALIVE_SECONDS: { group: 'Server', schema: whole(0, 255), default: '75', help: 'seconds after which an idle HTTP connection is closed; set it above the idle timeout of your load balancer; 0 = never' },
  RUN_MODE: { group: 'Server', schema: text, default: 'development', help: '`production` or `prod`: strict start, masked 5xx messages, JSON logs; anything else is development' },
  NODE_ID: { group: 'Server', schema: matching(NAME, NAME_RULE), default: undefined, computed: 'random', help: 'name of this node; with WORKERS above 1 the processes are `<NODE_ID>-1`, `<NODE_ID>-2` …' },
  DRAIN_SECONDS: { group: 'Server', schema: seconds(0, 3600), default: '10', help: 'seconds over which connections are closed after SIGTERM' },
  LOG_LEVEL: { group: 'Log lines', schema: oneOf(LEVELS), default: undefined, computed: 'info', help: 'least severe level that is written' },
  RUST_LOG: { group: 'Log lines', schema: text, default: undefined, computed: 'info', help: 'alias of LOG_LEVEL, which wins; the first bare level of a list counts' },
  LOG_FORMAT: { group: 'Log lines', schema: oneOf(['text', 'json']), default: undefined, computed: 'text; in production json', help: 'format of log lines' },
  METRICS_KEY: { group: 'Metrics', schema: trimmed, default: undefined, hidden: true, help: 'key for `/metrics`, sent as `X-API-Key` or as a bearer token; unset = open; in production at least 16 characters' },
  METRICS_CHANNEL_LIMIT: { group: 'Metrics', schema: whole(0, 1_000), default: '0', help: 'number of largest channels that get a series in `ara_channel_subscriptions`' },
  JWT_SECRET: { group: 'Clients', schema: trimmed, default: undefined, hidden: true, help: 'secret for HS256, HS384 and HS512 tokens; in production at least 32 bytes' },
  JWT_SECRET_PREVIOUS: { group: 'Clients', schema: trimmed, default: undefined, hidden: true, help: 'former secret that is still accepted, for rotation' },
  JWT_ISSUER: { group: 'Clients', schema: trimmed, default: undefined, help: 'when set, `iss` must equal it' },
  JWT_AUDIENCE: { group: 'Clients', schema: trimmed, default: undefined, help: 'when set, `aud` must be or contain it' },
  JWT_ALGORITHMS: { group: 'Clients', schema: someOf(ALGORITHMS), default: undefined, computed: 'HS256 with a secret; else RS256, ES256 and EdDSA, as the key says', help: 'accepted algorithms' },
  JWT_PUBLIC_KEY: { group: 'Clients', schema: text, default: undefined, hidden: true, help: 'public key for RS, ES and EdDSA tokens: PEM (SPKI or X.509; line breaks may be written `\\n`) or the path of a PEM file' },
  JWT_JWKS_URL: { group: 'Clients', schema: httpUrl, default: undefined, help: 'URL of a key set for RS, ES and EdDSA tokens' },
  JWT_LEEWAY_SECONDS: { group: 'Clients', schema: seconds(0, 300), default: '60', help: 'clock tolerance for `exp` and `nbf`' },
  CHANNEL_ACCESS: { group: 'Clients', schema: oneOf(['open', 'claims']), default: 'open', help: '`open`: a token without the claim `channels` may subscribe to any channel; `claims`: to none' },
  API_KEY: { group: 'Callers', schema: list, default: undefined, hidden: true, help: 'API keys of your backends, comma-separated; in production each at least 16 characters' },
  TENANT_API_KEYS: { group: 'Callers', schema: tenantKeys, default: undefined, hidden: true, help: 'API keys bound to one tenant, comma-separated as `acme:key,globex:key`; in production each at least 16 characters' },
  CORS_ORIGINS: { group: 'Callers', schema: origins, default: undefined, computed: 'any', help: 'origins of web pages that may call the API and connect' },
  ALLOWED_ORIGINS: { group: 'Callers', schema: origins, default: undefined, computed: 'any', help: 'alias of CORS_ORIGINS' },
  TRUSTED_PROXIES: { group: 'Callers', schema: addressRanges, default: undefined, help: 'addresses of proxies whose `X-Forwarded-For` is trusted, comma-separated' },
  WEBSOCKET_HEARTBEAT_INTERVAL: { group: 'Connections', schema: seconds(1, 3600), default: '30', help: 'seconds between heartbeat messages and pings; pings go out at least every 300 s' },
  WEBSOCKET_CONNECTION_TIMEOUT: { group: 'Connections', schema: seconds(1, UNBOUNDED), default: '120', help: 'seconds without a sign of life after which a connection is closed; above the heartbeat interval' },
  WEBSOCKET_CLEANUP_INTERVAL: { group: 'Connections', schema: seconds(1, 3600), default: '60', help: 'seconds between checks for silent connections' },
  WEBSOCKET_MAX_CONNECTIONS: { group: 'Connections', schema: whole(0, UNBOUNDED), default: '10000', help: 'most open connections of this node; divided by WORKERS, rounded up; 0 = no limit' },
  WEBSOCKET_MAX_CONNECTIONS_PER_USER: { group: 'Connections', schema: whole(0, UNBOUNDED), default: '5', help: 'most open connections of a user, with BUS_URL over all nodes; 0 = no limit' },
  WEBSOCKET_MAX_SUBSCRIPTIONS_PER_CONNECTION: { group: 'Connections', schema: whole(0, UNBOUNDED), default: '50', help: 'most channels of a connection; 0 = no limit' },
  SEND_BUFFER_BYTES: { group: 'Connections', schema: whole(65_536, 67_108_864), default: '1048576', help: 'bytes that may wait for a slow client; beyond it the client is disconnected' },
  SEND_BUFFERS_TOTAL_BYTES: { group: 'Connections', schema: whole(1_048_576, UNBOUNDED), default: '268435456', help: 'bytes that may wait for all clients of this node together; beyond it the connections with the most are closed' },
  COALESCE_MS: { group: 'Connections', schema: whole(0, 20), default: '0', help: 'milliseconds that channel and broadcast frames may wait to be written together' },
  RATELIMIT_ENABLED: { group: 'Rate limits', schema: boolean, default: 'false', help: 'limits requests, new connections and client messages, per node; each process of WORKERS has its own buckets' },
  RATELIMIT_HTTP_REQUESTS_PER_SECOND: { group: 'Rate limits', schema: whole(1, UNBOUNDED), default: '100', help: 'requests a second of an API key, or of an address without a valid key; divided by WORKERS, rounded up' },
  RATELIMIT_HTTP_BURST_SIZE: { group: 'Rate limits', schema: whole(1, UNBOUNDED), default: '200', help: 'requests that an API key or address may make at once; divided by WORKERS, rounded up' },
  RATELIMIT_WS_CONNECTIONS_PER_MINUTE: { group: 'Rate limits', schema: whole(1, UNBOUNDED), default: '10', help: 'attempts of an address to open a WebSocket or SSE stream, at once and per minute; divided by WORKERS, rounded up' },
  RATELIMIT_WS_MESSAGES_PER_SECOND: { group: 'Rate limits', schema: whole(1, UNBOUNDED), default: '50', help: 'messages that a client may send on a WebSocket, at once and per second; a message counts once for each 4,096 characters' },
  RATELIMIT_CLEANUP_INTERVAL_SECONDS: { group: 'Rate limits', schema: seconds(1, 3600), default: '60', help: 'seconds between removals of buckets that were unused for 300 s' },
  TENANT_ENABLED: { group: 'Tenants', schema: boolean, default: 'false', help: 'separates tenants: clients by the claim `tenant_id`, callers by key or `X-Tenant-ID`' },
  TENANT_DEFAULT_MAX_CONNECTIONS: { group: 'Tenants', schema: whole(0, UNBOUNDED), default: '1000', help: 'most open connections of a tenant, with BUS_URL over all nodes; 0 = no limit' },
  TENANT_DEFAULT_MAX_CONNECTIONS_PER_USER: { group: 'Tenants', schema: whole(0, UNBOUNDED), default: '5', help: 'most open connections of a user of a tenant, within WEBSOCKET_MAX_CONNECTIONS_PER_USER; 0 = no limit' },
  TENANT_DEFAULT_MAX_SUBSCRIPTIONS_PER_CONNECTION: { group: 'Tenants', schema: whole(0, UNBOUNDED), default: '50', help: 'most channels of a connection, within WEBSOCKET_MAX_SUBSCRIPTIONS_PER_CONNECTION; 0 = no limit' },
  TENANT_OVERRIDES: { group: 'Tenants', schema: tenantOverrides, default: '{}', help: 'limits of single tenants that replace the defaults: `{"acme":{"max_connections":5000}}`' },
  QUEUE_ENABLED: { group: 'User log', schema: boolean, default: 'false', help: 'keeps a log for each user: users who are away receive later what they missed' },
  QUEUE_MAX_SIZE_PER_USER: { group: 'User log', schema: whole(1, 1_000_000), default: '100', help: 'most entries in the log of a user' },
  QUEUE_MESSAGE_TTL_SECONDS: { group: 'User log', schema: seconds(1, 2_592_000), default: '3600', help: 'age at which an entry leaves the log' },
  QUEUE_CLEANUP_INTERVAL_SECONDS: { group: 'User log', schema: seconds(1, 86_400), default: '300', help: 'seconds between physical removals of expired entries' },
  ACK_ENABLED: { group: 'Acknowledgement', schema: boolean, default: 'false', help: 'clients acknowledge notifications; those that are not acknowledged are sent again' },
  ACK_TIMEOUT_SECONDS: { group: 'Acknowledgement', schema: seconds(1, 86_400), default: '30', help: 'seconds until a notification that is not acknowledged is sent again' },
  ACK_CLEANUP_INTERVAL_SECONDS: { group: 'Acknowledgement', schema: seconds(1, 86_400), default: '60', help: 'seconds between removals of channel and broadcast notifications that can no longer be acknowledged' },
  ACK_MAX_DELIVERIES: { group: 'Acknowledgement', schema: whole(1, 100), default: '3', help: 'most deliveries of a notification, the first included' },
  STORE_URL: { group: 'Store', schema: storeUrl, default: 'memory:', help: 'where logs, templates, keys and revocations are kept; `memory:` lives as long as the process, `redis:` is the server of REDIS_URL' },
  STORE_SYNC: { group: 'Store', schema: oneOf(['full', 'normal']), default: 'full', help: 'for `sqlite:`: `full` answers a send after an fsync; `normal` may lose the last moments when the system goes down' },
  STORE_REPLICAS: { group: 'Store', schema: whole(0, 10), default: '0', help: 'for a Redis store: replicas that must have a send before it is answered' },
  STORE_MAX_BYTES: { group: 'Store', schema: whole(0, UNBOUNDED), default: '0', help: 'bytes that all logs together may hold; beyond them a send to users gets 507 `STORE_FULL`; 0 = no limit' },
  TENANT_MAX_STORED_BYTES: { group: 'Store', schema: whole(0, UNBOUNDED), default: '0', help: 'bytes that the logs of one tenant may hold; beyond them its sends to users get 507 `STORE_FULL`; 0 = no limit' },
  BUS_URL: { group: 'Cluster', schema: busUrl, default: 'none:', help: 'how nodes reach each other; `none:` is a single node, `redis:` is the server of REDIS_URL; must be the server of a Redis store' },
  IDEMPOTENCY_TTL_SECONDS: { group: 'Store', schema: seconds(60, 604_800), default: '86400', help: 'seconds from first use during which an idempotency key returns the same answer' },
  REDIS_URL: { group: 'Redis', schema: redisUrl, default: 'redis://localhost:6379', mayBeEmpty: true, help: 'Redis whose messages are dispatched; empty = none' },
  REDIS_STREAM: { group: 'Redis', schema: matching(/^[^\0]{1,256}$/, '1 to 256 characters'), default: undefined, help: 'Redis stream whose entries are dispatched, at least once each; unset = none' },
  REDIS_STREAM_GROUP: { group: 'Redis', schema: matching(/^[^\0]{1,64}$/, '1 to 64 characters'), default: 'ara', help: 'consumer group with which all nodes share the stream' },
  REDIS_CHANNELS: { group: 'Redis', schema: names, default: 'notification:user:*,notification:broadcast,notification:channel:*', help: 'channels to subscribe to; those with `*`, `?` or `[` are patterns' },
  REDIS_CIRCUIT_BREAKER_FAILURE_THRESHOLD: { group: 'Redis', schema: whole(1, UNBOUNDED), default: '5', help: 'consecutive failures that open the breaker' },
  REDIS_CIRCUIT_BREAKER_SUCCESS_THRESHOLD: { group: 'Redis', schema: whole(1, UNBOUNDED), default: '2', help: 'successes that close a half-open breaker' },
  REDIS_CIRCUIT_BREAKER_RESET_TIMEOUT_SECONDS: { group: 'Redis', schema: seconds(1, UNBOUNDED), default: '30', help: 'seconds until an open breaker is half-open; sooner when Redis answers a probe' },
  REDIS_BACKOFF_INITIAL_DELAY_MS: { group: 'Redis', schema: whole(1, UNBOUNDED), default: '100', help: 'milliseconds between the first two attempts to connect; doubles with each' },
  REDIS_BACKOFF_MAX_DELAY_MS: { group: 'Redis', schema: whole(1, UNBOUNDED), default: '30000', help: 'most milliseconds between two attempts; at least the initial delay' },
  OTEL_ENABLED: { group: 'Traces', schema: boolean, default: 'false', help: 'send traces to an OpenTelemetry collector' },
  OTEL_ENDPOINT: { group: 'Traces', schema: httpUrl, default: undefined, computed: 'http://localhost:4317', help: 'address of the collector (OTLP over gRPC, unless OTEL_EXPORTER_OTLP_PROTOCOL says http/protobuf); `http` is plaintext, `https` TLS; wins over OTEL_EXPORTER_OTLP_ENDPOINT' },
  OTEL_SERVICE_NAME: { group: 'Traces', schema: text, default: undefined, computed: 'ara-notification-service', help: '`service.name` of the traces' },
  OTEL_SAMPLING_RATIO: { group: 'Traces', schema: decimal, default: undefined, computed: '1.0', help: 'share of the traces begun here that are sent: 1 or more = all, 0 or less = none; a trace begun elsewhere brings its own decision; wins over OTEL_TRACES_SAMPLER' },
} as const satisfies Record<string, Setting>

/** Describes the values that a setting accepts, for errors and the settings table. */
export const expectation = ({ schema }: Setting): string => expectedBy(schema)
