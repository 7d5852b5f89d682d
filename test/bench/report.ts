import type { Figures, Goal, Goals, Side } from './row.ts'

/** Least and greatest value. */
type Spread = readonly [number, number]

/** Line of the table. */
export interface Line {
  readonly row: string
  readonly case: string
  readonly figure: string
  /** Medians of the rounds. */
  readonly ours: number
  readonly control: number
  readonly ratio: number
  /** Least and greatest of the rounds. */
  readonly spread: Readonly<Record<Side, Spread>>
  readonly goal?: Goal
  readonly verdict?: 'met' | 'missed'
  /** All rounds in order. */
  readonly rounds: Readonly<Record<Side, readonly number[]>>
}

/** Invalid run: it lost a notification or did not end. */
export interface Failure {
  readonly row: string
  readonly case: string
  readonly side: Side
  readonly reason: string
}

export type Rounds = Readonly<Record<Side, readonly Figures[]>>

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

export const spreadOf = (values: readonly number[]): Spread => [Math.min(...values), Math.max(...values)]

const meets = ({ is, limit }: Goal, value: number): boolean =>
  is === 'at least' ? value >= limit : value <= limit

/** Lines of one case, in the order of its figures. */
export function linesOf(row: string, name: string, goals: Goals, rounds: Rounds): readonly Line[] {
  return Object.keys(rounds.ours[0] ?? {}).map(figure => {
    const of = (side: Side) => rounds[side].map(figures => figures[figure] ?? Number.NaN)
    const all = { ours: of('ours'), control: of('control') }
    const [ours, control] = [median(all.ours), median(all.control)]
    const ratio = ours / control
    const goal = goals[figure]
    const spread = { ours: spreadOf(all.ours), control: spreadOf(all.control) }
    const line = { row, case: name, figure, ours, control, ratio, spread, rounds: all }
    if (goal === undefined) return line
    return { ...line, goal, verdict: meets(goal, goal.of === 'ours' ? ours : ratio) ? 'met' : 'missed' }
  })
}

export const HEAD = `| Row | Case | Figure | Ours | min–max | Control | min–max | Ratio | Target | |
|---|---|---|---|---|---|---|---|---|---|`

export const shown = (value: number): string =>
  value >= 1_000
    ? Math.round(value).toLocaleString('en')
    : value >= 100
      ? value.toFixed(0)
      : value.toPrecision(3)

const wanted = ({ is, limit, of }: Goal): string =>
  `${of === 'ours' ? 'ours ' : ''}${is === 'at least' ? '≥' : '≤'} ${limit}`

export const shownSpread = ([least, greatest]: Spread): string => `${shown(least)}–${shown(greatest)}`

export const tableRow = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`

export const markdownOf = ({
  row,
  case: name,
  figure,
  ours,
  control,
  ratio,
  spread,
  goal,
  verdict,
}: Line): string =>
  tableRow([
    row,
    name,
    figure,
    shown(ours),
    shownSpread(spread.ours),
    shown(control),
    shownSpread(spread.control),
    Number.isNaN(ratio) ? '–' : ratio.toFixed(2),
    goal === undefined ? '–' : wanted(goal),
    verdict === 'missed' ? '**missed**' : (verdict ?? ''),
  ])

export const markdownOfFailure = ({ row, case: name, side, reason }: Failure): string =>
  tableRow([row, name, `**FAILED** (${side})`, '–', '–', '–', '–', '–', '–', reason.replaceAll('|', '\\|')])
