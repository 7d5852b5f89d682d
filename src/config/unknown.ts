import { editsBetween } from '../lib/edits.ts'
import { TELEMETRY_NAMES } from './telemetry.ts'

/** Prefixes that our settings share with few other variables. */
const PREFIX = /^(?:WEBSOCKET|QUEUE|ACK|RATELIMIT|TENANT|STORE|BUS|REDIS|OTEL|JWT)_/

/** Groups of names in the OpenTelemetry specification. */
const OTEL_STANDARD =
  /^OTEL_(?:EXPORTER|BSP|BLRP|SPAN|EVENT|LINK|LOGRECORD|ATTRIBUTE|METRICS?|LOGS?|TRACES|EXPERIMENTAL|SEMCONV|NODE|RESOURCE|GO|CONFIG)_|^OTEL_(?:PROPAGATORS|SDK_DISABLED|ENTITIES|CONFIG_FILE)$/

/** Variables that Kubernetes and Docker set for a service named `redis`. */
const OF_CLUSTER = /_SERVICE_(?:HOST|PORT)(?:_|$)|_PORT_\d+_(?:TCP|UDP)/
const isOfCluster = (name: string, value: string) => OF_CLUSTER.test(name) || /^(?:tcp|udp):\/\//.test(value)

/** Edits up to which a name of another group may be the nearest. */
const NEAR = 2

/** Counts a missing last word as two edits: `ACK_TIMEOUT` for `ACK_TIMEOUT_SECONDS`. */
const distanceBetween = (one: string, other: string): number =>
  one.startsWith(`${other}_`) || other.startsWith(`${one}_`) ? 2 : editsBetween(one, other)

/** Prefers names with the same prefix: `OTEL_FOO` is nearer to `OTEL_ENABLED` than to `NODE_ID`. */
function nearestOf(name: string, known: readonly string[]): string | undefined {
  const [prefix] = PREFIX.exec(name) ?? []
  const related = known.filter(
    each => (prefix !== undefined && each.startsWith(prefix)) || distanceBetween(name, each) <= NEAR,
  )
  return related
    .map(each => ({ each, distance: distanceBetween(name, each) }))
    .sort((a, b) => a.distance - b.distance)[0]?.each
}

/** Skips names whose lengths differ by more than one edit. */
const isOneEditFrom = (name: string, known: readonly string[]): boolean =>
  known.some(each => Math.abs(each.length - name.length) <= 1 && editsBetween(name, each) === 1)

/** One warning for each variable that looks like a setting but is none. */
export function unknownIn(
  env: Readonly<Record<string, string | undefined>>,
  settings: readonly string[],
): readonly string[] {
  const known = [...settings, ...TELEMETRY_NAMES]
  const isKnown = new Set(known)
  return Object.entries(env).flatMap(([name, value = '']) => {
    if (value === '' || isKnown.has(name) || isOfCluster(name, value)) return []
    const looksLikeSetting = PREFIX.test(name) && !OTEL_STANDARD.test(name)
    if (!looksLikeSetting && !isOneEditFrom(name, known)) return []
    return [`${name} is no setting and has no effect; the nearest one is ${nearestOf(name, known)}`]
  })
}
