type Environment = Readonly<Record<string, string | undefined>>

const ENDPOINTS = ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'OTEL_EXPORTER_OTLP_ENDPOINT']
const PROTOCOLS = ['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'OTEL_EXPORTER_OTLP_PROTOCOL']
const INSECURE = ['OTEL_EXPORTER_OTLP_TRACES_INSECURE', 'OTEL_EXPORTER_OTLP_INSECURE']

/** Standard variables that traces use, as docs/OPERATIONS.md lists them. */
export const TELEMETRY_NAMES: readonly string[] = [
  ...['', '_TRACES'].flatMap(part =>
    'ENDPOINT PROTOCOL HEADERS COMPRESSION TIMEOUT CERTIFICATE CLIENT_CERTIFICATE CLIENT_KEY INSECURE'
      .split(' ')
      .map(word => `OTEL_EXPORTER_OTLP${part}_${word}`),
  ),
  ...'SCHEDULE_DELAY MAX_QUEUE_SIZE MAX_EXPORT_BATCH_SIZE EXPORT_TIMEOUT'
    .split(' ')
    .map(word => `OTEL_BSP_${word}`),
  ...'RESOURCE_ATTRIBUTES TRACES_EXPORTER TRACES_SAMPLER TRACES_SAMPLER_ARG PROPAGATORS SDK_DISABLED'
    .split(' ')
    .map(word => `OTEL_${word}`),
]

/** Returns the first non-empty variable, as OpenTelemetry reads it. */
const firstOf = (env: Environment, names: readonly string[]) =>
  names.map(name => ({ name, text: env[name]?.trim() ?? '' })).find(({ text }) => text !== '')

const exporterOf = (env: Environment) => firstOf(env, ['OTEL_TRACES_EXPORTER'])?.text

export const exportsTraces = (env: Environment): boolean => exporterOf(env) !== 'none'

/** Accepts `host:port` for gRPC only if OTEL_EXPORTER_OTLP_INSECURE chooses between plaintext and TLS. */
function isEndpoint(text: string, env: Environment): boolean {
  const isGrpc = (firstOf(env, PROTOCOLS)?.text ?? 'grpc') === 'grpc'
  if (isGrpc && text.startsWith('unix:')) return true
  const hasChoice = isGrpc && !text.includes('://') && firstOf(env, INSECURE) !== undefined
  return /^https?:$/.test(URL.parse(hasChoice ? `http://${text}` : text)?.protocol ?? '')
}

/** Checks standard variables that the SDK would ignore or misread. Returns what was expected, or undefined. */
export function telemetryFault(env: Environment, hasOwnEndpoint: boolean): string | undefined {
  const exporter = exporterOf(env) ?? 'otlp'
  if (exporter !== 'otlp' && exporter !== 'none') return 'OTEL_TRACES_EXPORTER: expected otlp or none'
  const endpoint = hasOwnEndpoint ? undefined : firstOf(env, ENDPOINTS)
  if (endpoint === undefined || isEndpoint(endpoint.text, env)) return undefined
  return `${endpoint.name}: expected an http or https URL (for gRPC also host:port with OTEL_EXPORTER_OTLP_INSECURE)`
}

interface Rule {
  readonly names: RegExp
  readonly values: RegExp
  readonly expected: string
}

/** Values that the SDK knows; it replaces others by its defaults without a word. */
const RULES: readonly Rule[] = [
  {
    names: /^OTEL_PROPAGATORS$/,
    values: /^(?:(?:tracecontext|baggage|b3|b3multi|none)(?:\s*,\s*|$))+$/,
    expected: 'some of tracecontext, baggage, b3, b3multi, none',
  },
  {
    names: /^OTEL_TRACES_SAMPLER$/,
    values: /^(?:parentbased_)?(?:always_on|always_off|traceidratio)$/,
    expected: 'always_on, always_off or traceidratio, or one of them after parentbased_',
  },
  {
    names: /^OTEL_TRACES_SAMPLER_ARG$/,
    values: /^(?:0?\.\d+|[01](?:\.0*)?)$/,
    expected: 'a number from 0 to 1',
  },
  {
    names: /^OTEL_EXPORTER_OTLP_(?:TRACES_)?COMPRESSION$/,
    values: /^(?:gzip|none)$/,
    expected: 'gzip or none',
  },
  { names: /^OTEL_(?:BSP_|EXPORTER_OTLP_(?:TRACES_)?TIMEOUT$)/, values: /^\d+$/, expected: 'a whole number' },
  { names: /^OTEL_SDK_DISABLED$/, values: /^(?:true|false)$/i, expected: 'true or false' },
]

/** One warning for each standard variable whose value the SDK would ignore. */
export const telemetryWarnings = (env: Environment): readonly string[] =>
  TELEMETRY_NAMES.flatMap(name => {
    const text = env[name]?.trim() ?? ''
    const rule = RULES.find(({ names }) => names.test(name))
    if (text === '' || rule === undefined || rule.values.test(text)) return []
    return [`${name}: expected ${rule.expected}; other values have no effect`]
  })
