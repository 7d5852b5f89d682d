import type { Loaded, Loader, LoadOptions } from './load.ts'
import { type LoadTarget, ServerProcess } from './server.ts'

/** Measured side. */
export type Side = 'ours' | 'control'

/** Seconds of load: first unmeasured, as warm-up of the compiler, then measured. */
export interface Times {
  readonly warm: number
  readonly measure: number
}

/** Values by the name of the figure, in the order of the table. */
export type Figures = Readonly<Record<string, number>>

/** Target for ours / control, or for ours alone. */
export interface Goal {
  readonly of: 'ratio' | 'ours'
  readonly is: 'at least' | 'at most'
  readonly limit: number
}

export type Goals = Readonly<Record<string, Goal>>

/** One case of a row, run against ours and the control. */
export interface Case {
  readonly name: string
  /** File in `control/`. Without it both sides are ours, and `run` makes the difference. */
  readonly control?: string
  /** Settings of our service beside those of every row. */
  readonly env?: Readonly<Record<string, string>>
  readonly goals: Goals
  run(bench: Bench): Promise<Figures>
  /** Only for cases of one server and one load. */
  readonly plain?: Plain
}

/** One load, and what it shows. Any server with this wire can take it. */
export interface Plain {
  readonly load: LoadOptions
  figures(loaded: Loaded): Figures
}

/** Group of cases, chosen by one name. */
export interface Row {
  readonly name: string
  readonly cases: readonly Case[]
  /** Runs only if it is named: it needs another program. */
  readonly isOnDemand?: boolean
  /** Derives figures from those of all cases, by the name of the case. */
  readonly derived?: { readonly goals: Goals; of(cases: ReadonlyMap<string, Figures>): Figures }
}

/** Tools of a case during one run. */
export interface Bench {
  readonly times: Times
  readonly side: Side
  /** Starts a fresh server of the measured side; it ends with the run. */
  start(options?: {
    readonly env?: Readonly<Record<string, string>>
    readonly metered?: boolean
    readonly isOnAllCores?: boolean
    readonly program?: readonly string[]
  }): Promise<ServerProcess>
  /** Loads it as `runLoad` does. */
  load(target: LoadTarget, options: LoadOptions): Promise<Loaded>
}

const FAULTS = ['lost', 'repeated', 'refused', 'dropped'] as const

export const atMost = (limit: number, of: Goal['of'] = 'ratio'): Goal => ({ of, is: 'at most', limit })
export const atLeast = (limit: number, of: Goal['of'] = 'ratio'): Goal => ({ of, is: 'at least', limit })

/** Case of one server and one load. */
export const plainCase = ({
  load: options,
  figures,
  ...rest
}: Omit<Case, 'run' | 'plain'> & Plain): Case => ({
  ...rest,
  plain: { load: options, figures },
  run: async ({ start, load }) => figures(await load(await start(), options)),
})

/** First window; every load has one. */
export function windowOf({ windows }: Loaded, name?: string) {
  const found = name === undefined ? windows[0] : windows.find(window => window.name === name)
  if (found === undefined) throw new Error('the loader told of no such window')
  return found
}

/** Runs a load. Rejects if a notification was lost or repeated, or a client rejected or disconnected. */
export async function runLoad(
  loader: Loader,
  target: LoadTarget,
  options: LoadOptions & Times,
): Promise<Loaded> {
  const loaded = await loader.run(target, options)
  const faults = FAULTS.filter(fault => loaded[fault] > 0).map(fault => `${loaded[fault]} ${fault}`)
  if (faults.length > 0) throw new Error(faults.join(', '))
  return loaded
}

/** Runs a case once against one side. */
export async function runCase(each: Case, side: Side, loader: Loader, times: Times): Promise<Figures> {
  await using stack = new AsyncDisposableStack()
  // Await here: everything started ends with this scope.
  return await each.run({
    times,
    side,
    start: async ({ env, ...options } = {}) =>
      stack.use(
        await ServerProcess.start({
          control: side === 'control' ? each.control : undefined,
          env: { ...each.env, ...env },
          ...options,
        }),
      ),
    load: (target, options) => runLoad(loader, target, { ...times, ...options }),
  })
}
