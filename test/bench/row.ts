import type { Loaded, Loader, LoadOptions } from './load.ts'
import { ServerProcess } from './server.ts'

/** Which of the two is measured. */
export type Side = 'ours' | 'control'

/** Seconds of load: first unmeasured, for the just-in-time compiler, then measured. */
export interface Times {
  readonly warm: number
  readonly measure: number
}

/** Values by the name of the figure, in the order of the table. */
export type Figures = Readonly<Record<string, number>>

/** What must hold: of ours / control, or of ours alone. */
export interface Goal {
  readonly of: 'ratio' | 'ours'
  readonly is: 'at least' | 'at most'
  readonly limit: number
}

export type Goals = Readonly<Record<string, Goal>>

/** One set-up of a row, run against ours and the control. */
export interface Case {
  readonly name: string
  /** A file in `control/`. */
  readonly control: string
  /** Settings of our service, beside those of every row. */
  readonly env?: Readonly<Record<string, string>>
  readonly goals: Goals
  run(bench: Bench): Promise<Figures>
}

/** What belongs together and is chosen by one name. */
export interface Row {
  readonly name: string
  readonly cases: readonly Case[]
  /** Figures that follow from those of all cases, by the name of the case. */
  readonly derived?: { readonly goals: Goals; of(cases: ReadonlyMap<string, Figures>): Figures }
}

/** What a case uses during one run. */
export interface Bench {
  readonly times: Times
  /** Starts a fresh server of the side under measurement; it ends with the run. */
  start(options?: {
    readonly env?: Readonly<Record<string, string>>
    readonly metered?: boolean
  }): Promise<ServerProcess>
  /** Puts it under load. Rejects when anything was lost, repeated, refused or disconnected. */
  load(server: ServerProcess, options: LoadOptions): Promise<Loaded>
}

const FAULTS = ['lost', 'repeated', 'refused', 'dropped'] as const

export const atMost = (limit: number, of: Goal['of'] = 'ratio'): Goal => ({ of, is: 'at most', limit })
export const atLeast = (limit: number, of: Goal['of'] = 'ratio'): Goal => ({ of, is: 'at least', limit })

/** The first window; every load has one. */
export function windowOf({ windows }: Loaded, name?: string) {
  const found = name === undefined ? windows[0] : windows.find(window => window.name === name)
  if (found === undefined) throw new Error('the loader told of no such window')
  return found
}

/** One run of a case against one side. */
export async function runCase(each: Case, side: Side, loader: Loader, times: Times): Promise<Figures> {
  await using stack = new AsyncDisposableStack()
  // Awaited here: what was started ends with this scope.
  return await each.run({
    times,
    start: async ({ env, metered } = {}) =>
      stack.use(
        await ServerProcess.start({
          control: side === 'control' ? each.control : undefined,
          env: { ...each.env, ...env },
          metered,
        }),
      ),
    load: async (server, options) => {
      const loaded = await loader.run(server, { ...times, ...options })
      const faults = FAULTS.filter(fault => loaded[fault] > 0).map(fault => `${loaded[fault]} ${fault}`)
      if (faults.length > 0) throw new Error(faults.join(', '))
      return loaded
    },
  })
}
