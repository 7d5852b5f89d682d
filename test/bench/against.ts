import { lookup } from 'node:dns/promises'
import type { Loader, LoadOptions } from './load.ts'
import { median, shown, shownSpread, spreadOf, tableRow } from './report.ts'
import { type Case, type Figures, type Row, runLoad, type Times } from './row.ts'
import type { LoadTarget } from './server.ts'

/** Wires that the loader speaks. */
export const KINDS = ['ara', 'centrifugo'] as const
export type PeerKind = (typeof KINDS)[number]

/** Server at an address, which this process did not start. */
export interface Peer {
  readonly kind: PeerKind
  readonly target: LoadTarget
}

/** Rows that mean something for a server whose settings are unknown. */
const ROWS: Readonly<Record<PeerKind, readonly string[]>> = {
  ara: ['fanout', 'saturated', 'sse', 'send', 'send-away', 'send-ack', 'connect'],
  centrifugo: ['fanout', 'saturated', 'send', 'send-away', 'connect'],
}
const HTTP_PORT = 80
const HEAD = `| Row | Case | Figure | Median | min–max |
|---|---|---|---|---|`

export const rowsOf = (kind: PeerKind, rows: readonly Row[]): readonly Row[] =>
  rows.filter(({ name }) => ROWS[kind].includes(name))

/** Finds the server. Only processes of this machine have a pid. Throws if the URL is not `http://`. */
export async function findPeer(
  kind: PeerKind,
  address: string,
  pids: readonly number[],
  isOnAllCores: boolean,
): Promise<Peer> {
  const { protocol, hostname, port } = new URL(address)
  if (protocol !== 'http:') throw new Error(`--against must begin with http:// (got ${protocol}//)`)
  const host = (await lookup(hostname, 4)).address
  return { kind, target: { host, ports: [Number(port) || HTTP_PORT], pids, isOnAllCores } }
}

const onWire = (kind: PeerKind, load: LoadOptions): LoadOptions =>
  kind === 'centrifugo' ? { ...load, transport: 'centrifugo' } : load

const isMeasured = (figure: string, { pids }: LoadTarget): boolean =>
  pids.length > 0 || !figure.includes('CPU')

interface Against {
  readonly peer: Peer
  readonly loader: Loader
  readonly rounds: number
  readonly times: Times
}

/** Figures of all rounds of one case. Rounds follow each other on one process, which is warm after the first. */
async function roundsOf(
  { plain }: Case,
  { peer, loader, rounds, times }: Against,
): Promise<readonly Figures[]> {
  if (plain === undefined) return []
  const all: Figures[] = []
  for (let round = 0; round < rounds; round++) {
    const options = { ...times, ...onWire(peer.kind, plain.load) }
    all.push(plain.figures(await runLoad(loader, peer.target, options)))
  }
  return all
}

/** Line of the table, as JSON. */
interface PeerLine {
  readonly row: string
  readonly case: string
  readonly figure: string
  readonly median: number
  readonly rounds: readonly number[]
}

/** Puts the rows' loads on a server and prints a table. Returns its lines, and the reasons of failed cases. */
export async function measureAgainst(rows: readonly Row[], against: Against) {
  const lines: PeerLine[] = []
  const failures: string[] = []
  console.log(HEAD)
  for (const row of rows)
    for (const each of row.cases) {
      try {
        const rounds = await roundsOf(each, against)
        for (const figure of Object.keys(rounds[0] ?? {})) {
          if (!isMeasured(figure, against.peer.target)) continue
          const values = rounds.map(figures => figures[figure] ?? Number.NaN)
          const line = { row: row.name, case: each.name, figure, median: median(values), rounds: values }
          console.log(
            tableRow([row.name, each.name, figure, shown(line.median), shownSpread(spreadOf(values))]),
          )
          lines.push(line)
        }
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error)
        failures.push(`${row.name}, ${each.name}: ${reason}`)
        console.log(tableRow([row.name, each.name, '**FAILED**', '–', reason.replaceAll('|', '\\|')]))
      }
    }
  return { lines, failures }
}
