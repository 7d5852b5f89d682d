import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { ROWS, type Row, type Run } from './rows.ts'
import { pinLoad, type Side } from './server.ts'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '3' },
    /** One short round: shows that everything works, measures nothing. */
    quick: { type: 'boolean', default: false },
  },
})
const rounds = values.quick ? 1 : Number(values.rounds)
const times = values.quick ? { warmMs: 300, measuredMs: 700 } : { warmMs: 2_000, measuredMs: 3_000 }

/** By its name, or by the name of its family: `sse` is `sse-1000` and all others of SSE. */
const isWanted = ({ name }: Row): boolean =>
  positionals.length === 0 || positionals.some(wanted => name === wanted || name.startsWith(`${wanted}-`))

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  return sorted.length % 2 === 1
    ? (sorted[Math.floor(middle)] ?? Number.NaN)
    : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
}

const shown = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(3))

function verdictOf({ goals }: Row, figure: string, ratio: number): string {
  const goal = goals.find(each => each.figure === figure)
  if (goal === undefined) return '–'
  const isMet = goal.is === 'at least' ? ratio >= goal.ratio : ratio <= goal.ratio
  return `${goal.is === 'at least' ? '≥' : '≤'} ${goal.ratio} ${isMet ? 'met' : '**missed**'}`
}

/** Ours and the control in turn, so that what disturbs the machine disturbs both. */
async function measureRow(row: Row): Promise<void> {
  const runs: Record<Side, Run[]> = { ours: [], control: [] }
  for (let round = 0; round < rounds; round++)
    for (const side of ['control', 'ours'] as const) runs[side].push(await row.run(side, times))
  const lost = [...runs.ours, ...runs.control].map(run => Math.abs(run.lost)).reduce((sum, n) => sum + n, 0)
  for (const figure of Object.keys(runs.ours[0]?.figures ?? {})) {
    const [ours, control] = [runs.ours, runs.control].map(side =>
      median(side.map(({ figures }) => figures[figure] ?? Number.NaN)),
    ) as [number, number]
    const ratio = ours / control
    const cells = [
      row.name,
      figure,
      shown(ours),
      shown(control),
      ratio.toFixed(2),
      verdictOf(row, figure, ratio),
      lost,
    ]
    console.log(`| ${cells.join(' | ')} |`)
  }
}

const wanted = ROWS.filter(isWanted)
if (wanted.length === 0) {
  console.log(`no such row; there are ${ROWS.map(({ name }) => name).join(', ')}`)
  process.exit(1)
}
console.log(
  `${new Date().toISOString().slice(0, 10)}, ${cpus().length} × ${cpus()[0]?.model}, Bun ${Bun.version}`,
)
console.log(`${pinLoad()}; ${rounds} round(s) of ${times.measuredMs} ms after ${times.warmMs} ms, medians\n`)
console.log('| row | figure | ours | control | ratio | target | lost |\n|---|---|---|---|---|---|---|')
for (const row of wanted) await measureRow(row)
process.exit(0)
