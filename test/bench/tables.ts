import { join } from 'node:path'
import { HEAD, type Line, markdownOf, shown, tableRow } from './report.ts'

/** `bun test/bench/tables.ts figures.json [document]` writes the tables of docs/PERFORMANCE.md from `bun run bench --json`. */

interface BenchFigures {
  readonly header: string
  readonly disturbance: string
  readonly lines: readonly Line[]
}

/** Names of a line: row, case, figure. */
type Name = readonly [row: string, name: string, figure: string]

/** Row of the first table. A process of WORKERS uses one core, so two carry twice what a CPU-second does. */
interface Workload {
  readonly label: string
  readonly unit: string
  /** Figure per CPU-second of one process. */
  readonly one: Name
  /** Figure per CPU-second of two processes. */
  readonly two?: Name
}

const DOCUMENT = join(import.meta.dir, '../../docs/PERFORMANCE.md')
const REQUESTS = 'requests per CPU-second'
const DELIVERIES = 'deliveries per CPU-second'
const DELIVERIES_PER_SECOND = 50_000
const BESIDE = '2 beside 1, log'

// biome-ignore format: one row a workload
const WORKLOADS: readonly Workload[] = [
  { label: '`POST /send`, log off, users connected', unit: 'sends', one: ['send', 'log off', REQUESTS], two: ['workers', `${BESIDE} off, users connected`, REQUESTS] },
  { label: 'the same, log in memory, with receipts', unit: 'sends', one: ['send-log', 'memory log, receipts', REQUESTS] },
  { label: 'the same, and each notification acknowledged', unit: 'sends', one: ['send-ack', 'memory log, receipts, each acknowledged', REQUESTS] },
  { label: '`POST /send`, log in memory, users away', unit: 'sends', one: ['send-away', 'memory log, users away', REQUESTS] },
  { label: 'the same, log in SQLite, an fsync before each answer', unit: 'sends', one: ['send-stored', 'sqlite, an fsync before each answer', 'requests/s'] },
  { label: 'the same, log in Redis on another core', unit: 'sends', one: ['send-stored', 'redis, synced once a second', REQUESTS], two: ['workers', `${BESIDE} in Redis, users away`, REQUESTS] },
  { label: 'messages from Redis, log off, users connected', unit: 'messages', one: ['redis', 'messages to 1,000 users', 'messages per CPU-second'] },
  { label: 'messages from Redis, log in memory, users away', unit: 'messages', one: ['redis', 'messages to 1,000 users who are away, memory log', 'messages per CPU-second'] },
  { label: 'channel of 1,000 WebSockets', unit: 'deliveries', one: ['saturated', 'to 1,000', DELIVERIES], two: ['workers', `${BESIDE} off, channel of 1,000`, DELIVERIES] },
  { label: 'broadcast to 1,000 SSE streams', unit: 'deliveries', one: ['sse', 'saturated, to 1,000', DELIVERIES] },
  { label: 'new connections, a token each', unit: 'connects', one: ['connect', '5,000, a token each', 'connects per CPU-second'] },
  { label: 'replay after reconnects', unit: 'entries', one: ['replay', '100 entries to each of 1,000', 'entries per CPU-second'] },
]
const PACED: readonly (readonly [label: string, row: string, name: string])[] = [
  ['channel of 1,000 WebSockets', 'fanout', 'to 1,000'],
  ['channel of 10,000 WebSockets', 'fanout', 'to 10,000'],
  ['broadcast to 1,000 SSE streams', 'sse', 'to 1,000'],
]

/** Two digits are as exact as a shared machine is. */
const rounded = (value: number): string => {
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(value)) - 1)
  return shown(Math.round(value / unit) * unit)
}

/** Table of what one and two cores carry. */
function capacityOf(lines: readonly Line[]): string {
  const find = ([row, name, figure]: Name): number | undefined =>
    lines.find(line => line.row === row && line.case === name && line.figure === figure)?.ours
  const cell = (value: number | undefined, unit: string): string =>
    value === undefined ? '–' : `${rounded(value)} ${unit}`
  const twice = (name: Name | undefined): number | undefined => {
    const value = name && find(name)
    return value && 2 * value
  }
  const saturated = WORKLOADS.map(({ label, unit, one, two }) =>
    tableRow([label, cell(find(one), unit), cell(twice(two), unit), '']),
  )
  const paced = PACED.map(([label, row, name]) => {
    const cores = ((find([row, name, 'CPU µs per delivery']) ?? Number.NaN) * DELIVERIES_PER_SECOND) / 1e6
    const [p50, p99] = ['p50 ms', 'p99 ms'].map(figure => shown(find([row, name, figure]) ?? Number.NaN))
    return tableRow([
      label,
      `${cores.toFixed(2)} of a core for 50,000 deliveries`,
      '',
      `p50 ${p50} ms, p99 ${p99} ms`,
    ])
  })
  const stall = shown(find(['broadcast', 'to 10,000', 'longest stall ms']) ?? Number.NaN)
  const [socket, stream] = ['10,000 WebSockets', '10,000 streams'].map(name =>
    shown(find(['memory', name, 'KiB per connection']) ?? Number.NaN),
  )
  return [
    '| A second | One core | Two cores | Latency, memory |\n|---|---|---|---|',
    ...saturated,
    ...paced,
    tableRow(['broadcast to 10,000 WebSockets', '', '', `other work waits ${stall} ms at most`]),
    tableRow(['idle connections', '', '', `${socket} KiB per WebSocket, ${stream} KiB per stream`]),
  ].join('\n')
}

/** Replaces what stands between the two marks of that name. */
function replaced(document: string, name: string, text: string): string {
  const [begin, end] = [`<!-- ${name} -->\n`, `\n<!-- end of ${name} -->`]
  const [from, to] = [document.indexOf(begin), document.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`the document has no marks for "${name}"`)
  return document.slice(0, from + begin.length) + text + document.slice(to)
}

/** Header, and the lines as a table. */
const tableOf = ({ header, disturbance }: BenchFigures, head: string, lines: readonly Line[]): string =>
  [`${header}. ${disturbance}\n`, head, ...lines.map(markdownOf)].join('\n')

/** Rows that a run did not measure keep their table. */
function updated(document: string, figures: BenchFigures): string {
  const isPeer = ({ row }: Line): boolean => row === 'centrifugo'
  const peers = figures.lines.filter(isPeer)
  const own = figures.lines.filter(line => !isPeer(line))
  const withPeers =
    peers.length === 0
      ? document
      : replaced(document, 'centrifugo', tableOf(figures, HEAD.replace('Control', 'Centrifugo'), peers))
  if (own.length === 0) return withPeers
  const withCapacity = replaced(withPeers, 'capacity', capacityOf(own))
  return replaced(withCapacity, 'results', tableOf(figures, HEAD, own))
}

const [file, path = DOCUMENT] = process.argv.slice(2)
if (file === undefined) throw new Error('usage: bun test/bench/tables.ts figures.json [document]')
// JSON has no NaN: a ratio to 0 is written as null.
const figures = JSON.parse(await Bun.file(file).text(), (_, value) => value ?? Number.NaN) as BenchFigures
await Bun.write(path, updated(await Bun.file(path).text(), figures))
