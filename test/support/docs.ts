import { join } from 'node:path'
import { expectation, SETTINGS, type Setting } from '../../src/config/settings.ts'
import { acrossOf } from '../../src/observe/across.ts'
import { METRICS, type Metric, type MetricSources } from '../../src/observe/metrics.ts'
import { createStats } from '../../src/observe/stats.ts'
import { asyncApiDocument } from './asyncapi.ts'

const ROOT = join(import.meta.dir, '../..')

type Named = readonly [name: string, setting: Setting]

function groups(): ReadonlyMap<string, readonly Named[]> {
  const all: readonly Named[] = Object.entries(SETTINGS)
  return Map.groupBy(all, ([, { group }]) => group)
}

function example([name, { help, default: value, computed }]: Named): string {
  const unset = computed === undefined ? '' : ` (unset: ${computed})`
  return `# ${help}${unset}\n${value === undefined ? `# ${name}=` : `${name}=${value}`}\n`
}

/** Text of `.env.example`: each setting with its default, commented out without one. */
export function envExample(): string {
  const parts = [...groups()].map(
    ([group, rows]) => `\n# ---- ${group} ----\n\n${rows.map(example).join('\n')}`,
  )
  return `# Copy this to .env, or set the variables in the environment. An empty variable means its default; an empty REDIS_URL means none.\n${parts.join('')}`
}

const cell = (text: string): string => text.replaceAll('|', '\\|')
const code = (text: string): string => `\`${text}\``

function tableRow([name, setting]: Named): string {
  const { help, default: value, computed = 'none' } = setting
  const cells = [code(name), expectation(setting), value === undefined ? computed : code(value), help]
  return `| ${cells.map(cell).join(' | ')} |`
}

/** Text of `docs/SETTINGS.md`: one table per group. */
export function settingsDocument(): string {
  const tables = [...groups()].map(
    ([group, rows]) => `
## ${group}

| Variable | Expected | Default | Meaning |
|---|---|---|---|
${rows.map(tableRow).join('\n')}
`,
  )
  return `# Settings

Environment variables only; a \`.env\` in the working directory is read too ([.env.example](../.env.example) holds all of them).
Unset and empty mean the default, except that an empty \`REDIS_URL\` means none. Words such as \`true\` (also \`1\`, \`yes\`, \`on\`) may be written in any case; blanks around
list items are ignored. An invalid value stops the start with one line that names the variable and
what was expected. An unknown name that looks like a setting gives one warning that names the nearest setting.

In a \`.env\` file \`#\` starts a comment and \`$NAME\` is replaced by that variable, inside single quotes too. Quote the value and write
\`\\$\` for a dollar sign: \`JWT_SECRET='pa\\$s#word'\`. \`.env.local\` overrides \`.env\`, and so do \`.env.development\` and, with
\`NODE_ENV=production\`, \`.env.production\`. The environment itself overrides all files.

In production (\`RUN_MODE\`) the service starts only with \`JWT_SECRET\` of at least 32 bytes, \`JWT_PUBLIC_KEY\` or
\`JWT_JWKS_URL\`, and with keys of at least 16 characters in \`API_KEY\` or \`TENANT_API_KEYS\`. In development it needs
nothing: without a secret one is generated for this run, and without an API key anyone can send.

\`bun run docs\` generates this page and \`.env.example\`.
${tables.join('')}`
}

/** Sources of a service at its start. */
function atStart(): MetricSources {
  const stats = createStats()
  return {
    stats,
    total: stats.tally.total(),
    connections: { ws: 0, sse: 0 },
    users: 0,
    channels: 0,
    largestChannels: [],
    redis: undefined,
    queue: { messages: 0, users: 0, bytes: 0, maxBytes: 0 },
    storeUp: true,
    busUp: true,
    nodes: 1,
    draining: false,
    lagSeconds: 0,
    linesDropped: 0,
    process: {
      cpu: { userSeconds: 0, systemSeconds: 0 },
      residentBytes: 0,
      virtualBytes: 0,
      heapBytes: 0,
      openDescriptors: 0,
      maxDescriptors: 0,
      startedAt: 0,
    },
    version: '…',
    node: '…',
    worker: undefined,
  }
}

/** Lists the values of a label (`type`: `ws`, `sse`), or only its name if they are unknown. */
function labelsOf({ labels, read }: Metric, seen: MetricSources): string {
  const there = read(seen)
  return labels
    .map(label => {
      const values = [...new Set(there.map(each => each.labels[label] ?? ''))].filter(value => value !== '…')
      return values.length === 0 ? code(label) : `${code(label)}: ${values.map(code).join(', ')}`
    })
    .join('; ')
}

function metricRow([name, metric]: readonly [string, Metric]): string {
  const buckets = metric.type === 'histogram' ? metric.bounds.join(', ') : ''
  const across = acrossOf(name).replace('worker', 'each, label `worker`')
  const cells = [code(name), metric.type, labelsOf(metric, atStart()), buckets, metric.help, across]
  return `| ${cells.map(cell).join(' | ')} |`
}

/** Text of `docs/METRICS.md`: one row per metric. */
export function metricsDocument(): string {
  return `# Metrics

\`GET /metrics\` shows these metrics in the Prometheus text format 0.0.4. [OPERATIONS.md](OPERATIONS.md#metrics) lists useful queries and alerts.
All numbers are live, belong to this node, and begin at its start. Every name exists from the start; counters whose
labels are listed here begin at 0 for each. Times are in seconds. Labels never hold text from callers or clients, except the names of the
\`METRICS_CHANNEL_LIMIT\` largest channels.

With \`WORKERS\` above 1 any process answers for all of them. The last column tells how their numbers become one. Counters keep
what ended processes counted. A process that does not answer within 500 ms is left out, and its \`ara_worker_up\` is 0.

\`bun run docs\` generates this page.

| Name | Type | Labels | Buckets | Meaning | Over \`WORKERS\` |
|---|---|---|---|---|---|
${Object.entries(METRICS).map(metricRow).join('\n')}
`
}

if (import.meta.main) {
  await Bun.write(join(ROOT, '.env.example'), envExample())
  await Bun.write(join(ROOT, 'docs/SETTINGS.md'), settingsDocument())
  await Bun.write(join(ROOT, 'docs/asyncapi.yaml'), asyncApiDocument())
  await Bun.write(join(ROOT, 'docs/METRICS.md'), metricsDocument())
}
