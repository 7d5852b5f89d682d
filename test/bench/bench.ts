import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { findPeer, KINDS, measureAgainst, rowsOf } from './against.ts'
import { createLoader, type Loader } from './load.ts'
import { coresInUse } from './machine.ts'
import {
  type Failure,
  HEAD,
  type Line,
  linesOf,
  markdownOf,
  markdownOfFailure,
  median,
  type Rounds,
} from './report.ts'
import { type Case, type Figures, type Row, runCase, type Side, type Times } from './row.ts'
import { broadcast } from './rows/broadcast.ts'
import { centrifugo } from './rows/centrifugo.ts'
import { clusterFanOut, clusterSend } from './rows/cluster.ts'
import { connect, memory } from './rows/connect.ts'
import { disturbed } from './rows/disturbed.ts'
import { liveDurable, sendStored } from './rows/durable.ts'
import { fanOut, saturated } from './rows/fan-out.ts'
import { firstSecond } from './rows/first-second.ts'
import { redis } from './rows/redis.ts'
import { replay } from './rows/replay.ts'
import { scrapes } from './rows/scrape.ts'
import { send, sendAcks, sendAway, sendLimited, sendLog, sendTenants } from './rows/send.ts'
import { socketIo } from './rows/socket-io.ts'
import { sse } from './rows/sse.ts'
import { sighup, workers } from './rows/workers.ts'
import { pinLoad } from './server.ts'

const ROWS: readonly Row[] = [
  fanOut,
  saturated,
  sse,
  broadcast,
  send,
  sendLog,
  sendAway,
  sendStored,
  liveDurable,
  sendAcks,
  sendLimited,
  sendTenants,
  firstSecond,
  connect,
  memory,
  redis,
  replay,
  disturbed,
  scrapes,
  clusterSend,
  clusterFanOut,
  socketIo,
  workers,
  sighup,
  centrifugo,
]

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '5' },
    /** Runs one short round that checks the rows and measures nothing. */
    quick: { type: 'boolean', default: false },
    /** File for the figures of every round. */
    json: { type: 'string' },
    /** `bun` selects the loader that needs no compiler. */
    loader: { type: 'string', default: 'any' },
    /** `http://host:port` of a server that runs already; then only it is measured. */
    against: { type: 'string' },
    /** Its wire: `ara` or `centrifugo`. */
    kind: { type: 'string', default: 'ara' },
    /** Key of its API and secret of its HS256 tokens. */
    key: { type: 'string', default: '' },
    secret: { type: 'string', default: '' },
    /** Its processes, separated by commas, if it runs on this machine: for figures of CPU. */
    pid: { type: 'string', default: '' },
    /** Lets the load use all cores, as a server of several processes does. */
    'all-cores': { type: 'boolean', default: false },
  },
})

const rounds = values.quick ? 1 : Number(values.rounds)
const times: Times = values.quick ? { warm: 0.3, measure: 0.7 } : { warm: 2, measure: 2.5 }

const USAGE = `usage: bun run bench [${ROWS.map(({ name }) => name).join('|')}]… [--rounds N] [--quick] [--json file]
       bun run bench [row]… --against http://host:port --kind ${KINDS.join('|')} --key <API key> --secret <token secret> [--pid N[,N]] [--all-cores]`

function refuse(): never {
  console.error(USAGE)
  process.exit(1)
}

function wantedRows(): readonly Row[] {
  const isKnown = positionals.every(name => ROWS.some(row => row.name === name))
  if (!isKnown || !(rounds >= 1)) refuse()
  return ROWS.filter(({ name, isOnDemand }) =>
    positionals.length === 0 ? isOnDemand !== true : positionals.includes(name),
  )
}

/** More busy cores than this mean that other work runs. */
const NOISE = 0.2

const inUse: number[] = []
const lines: Line[] = []
const failures: Failure[] = []

/** Alternates which side runs first, so that drift over time favours neither. */
const sidesOf = (round: number): readonly Side[] =>
  round % 2 === 0 ? ['control', 'ours'] : ['ours', 'control']

async function roundsOf(row: Row, each: Case, loader: Loader): Promise<Rounds | Failure> {
  const all: Record<Side, Figures[]> = { ours: [], control: [] }
  for (let round = 0; round < rounds; round++) {
    for (const side of sidesOf(round)) {
      inUse.push(await coresInUse())
      try {
        all[side].push(await runCase(each, side, loader, times))
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error)
        return { row: row.name, case: each.name, side, reason }
      }
    }
  }
  return all
}

function tell(told: readonly Line[]): void {
  for (const line of told) console.log(markdownOf(line))
  lines.push(...told)
}

/** Computes figures of one side from the medians of all cases. */
const derivedOf = ({ derived }: Row, cases: ReadonlyMap<string, Rounds>, side: Side): Figures => {
  const medians = (figures: readonly Figures[]): Figures =>
    Object.fromEntries(
      Object.keys(figures[0] ?? {}).map(name => [
        name,
        median(figures.map(each => each[name] ?? Number.NaN)),
      ]),
    )
  return derived?.of(new Map([...cases].map(([name, all]) => [name, medians(all[side])]))) ?? {}
}

async function measureRow(row: Row, loader: Loader): Promise<void> {
  const cases = new Map<string, Rounds>()
  for (const each of row.cases) {
    const result = await roundsOf(row, each, loader)
    if ('reason' in result) {
      failures.push(result)
      console.log(markdownOfFailure(result))
    } else {
      cases.set(each.name, result)
      tell(linesOf(row.name, each.name, each.goals, result))
    }
  }
  if (row.derived === undefined || cases.size < row.cases.length) return
  const all = { ours: [derivedOf(row, cases, 'ours')], control: [derivedOf(row, cases, 'control')] }
  tell(linesOf(row.name, 'all', row.derived.goals, all))
}

const headerOf = (loader: Loader, pinned: string): string =>
  [
    new Date().toISOString().slice(0, 16).replace('T', ' '),
    `${cpus().length} × ${cpus()[0]?.model}`,
    `Bun ${Bun.version}`,
    loader.name,
    pinned,
    `${rounds} round(s) of ${times.measure} s after ${times.warm} s, medians`,
  ].join('; ')

const warning = values.quick ? '\nToo short to say anything but that it works.' : ''
const loaderKind = values.loader === 'bun' ? 'bun' : 'any'

async function write(figures: object): Promise<void> {
  if (values.json !== undefined) await Bun.write(values.json, JSON.stringify(figures, null, 2))
}

/** Measures our service beside the controls. */
async function benchOurs(wanted: readonly Row[]): Promise<void> {
  const startedAt = performance.now()
  const pinned = pinLoad()
  await using loader = await createLoader(loaderKind)
  const header = headerOf(loader, pinned)
  console.log(`${header}${warning}\n\n${HEAD}`)
  for (const row of wanted) await measureRow(row, loader)
  const minutes = ((performance.now() - startedAt) / 60_000).toFixed(1)
  const noisy = inUse.filter(cores => cores > NOISE)
  const disturbance =
    noisy.length === 0
      ? 'Before none of the runs anything else was at work.'
      : `Just before ${noisy.length} of ${inUse.length} runs others used up to ${Math.max(...noisy).toFixed(1)} cores: **too noisy to compare**.`
  console.log(
    `\n${lines.length} figures and ${failures.length} failures in ${minutes} minutes. ${disturbance}`,
  )
  await write({ header, disturbance, lines, failures })
  process.exitCode = failures.length === 0 ? 0 : 1
}

/** Measures a server that runs already. */
async function benchPeer(wanted: readonly Row[], address: string): Promise<void> {
  const { key, secret } = values
  const kind = KINDS.find(known => known === values.kind)
  if (kind === undefined || key === '' || secret === '') refuse()
  const pids = values.pid.split(',').filter(Boolean).map(Number)
  const peer = await findPeer(kind, address, pids, values['all-cores'])
  const pinned = pinLoad()
  await using loader = await createLoader(loaderKind, { key, secret })
  const header = `${kind} at ${address}; ${headerOf(loader, pinned)}`
  console.log(`${header}${warning}\n`)
  const measured = await measureAgainst(rowsOf(kind, wanted), { peer, loader, rounds, times })
  await write({ header, ...measured })
  process.exitCode = measured.failures.length === 0 ? 0 : 1
}

const wanted = wantedRows()
if (values.against === undefined) await benchOurs(wanted)
else await benchPeer(wanted, values.against)
