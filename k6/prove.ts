import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findK6 } from './binary.ts'
import { startFaulty } from './faults.ts'
import { profileOf } from './lib/profiles.ts'
import { type Scenario, THRESHOLDS } from './lib/thresholds.ts'
import { PROOFS, type Proof } from './proofs.ts'
import { runK6 } from './run-k6.ts'
import { type Service, startService } from './service.ts'

const PROFILE = 'proof'
const CROSSED = 99

/** `metric expression` → true if it failed. */
type Verdicts = ReadonlyMap<string, boolean>

interface Exported {
  readonly metrics: Readonly<Record<string, { readonly thresholds?: Readonly<Record<string, boolean>> }>>
}

/** Reads k6's summary file, where `true` means a failed threshold. */
const verdictsOf = ({ metrics }: Exported): Verdicts =>
  new Map(
    Object.entries(metrics).flatMap(([name, { thresholds = {} }]) =>
      Object.entries(thresholds).map(([expression, crossed]) => [`${name} ${expression}`, crossed] as const),
    ),
  )

const crossedOf = (verdicts: Verdicts): readonly string[] =>
  [...verdicts].filter(([, crossed]) => crossed).map(([name]) => name)

/** Lists all thresholds of a scenario, as its verdicts name them. */
const thresholdsOf = (scenario: Scenario): readonly string[] => {
  const profile = profileOf(PROFILE)
  if (profile === undefined) throw new Error('no profile for proofs')
  return Object.entries(THRESHOLDS[scenario](profile)).flatMap(([name, expressions]) =>
    expressions.map(expression => `${name} ${expression}`),
  )
}

/** Matches a threshold by `name` or by the start of `name expression`. */
const fits = (wanted: string, threshold: string): boolean =>
  threshold.startsWith(`${wanted} `) || (wanted.includes(' ') && threshold.startsWith(wanted))

async function run(k6: string, { inputs }: Service, scenario: Scenario, proof: Proof): Promise<Verdicts> {
  const directory = await mkdtemp(join(tmpdir(), 'k6-proof-'))
  const server = startFaulty(inputs.HOST, proof.fault)
  const { PATH, HOME } = process.env
  try {
    const summary = join(directory, 'summary.json')
    const code = await runK6({
      k6,
      scenario,
      profile: PROFILE,
      env: { PATH, HOME, ...inputs, ...proof.env, HOST: `127.0.0.1:${server.port}` },
      flags: ['--summary-export', summary],
      shown: false,
    })
    const verdicts = verdictsOf(await Bun.file(summary).json())
    if (code !== (crossedOf(verdicts).length > 0 ? CROSSED : 0)) throw new Error(`k6 exited with ${code}`)
    return verdicts
  } finally {
    await server.stop(true)
    await rm(directory, { recursive: true })
  }
}

/** Lists missed and unexpected findings of a run. */
function mistakesOf({ crosses, spares = [] }: Proof, crossed: readonly string[]): readonly string[] {
  const missed = crosses.filter(wanted => !crossed.some(name => fits(wanted, name)))
  const wrong =
    crosses.length === 0 ? crossed : crossed.filter(name => spares.some(spared => fits(spared, name)))
  return [...missed.map(name => `${name} did not find it`), ...wrong.map(name => `${name} was crossed`)]
}

/** Proves that each fault is found and each threshold finds one. Resolves with the exceptions. */
async function prove(k6: string, scenario: Scenario): Promise<number> {
  await using service = await startService({})
  const found = new Set<string>()
  let failures = 0
  for (const proof of PROOFS[scenario]) {
    const crossed = crossedOf(await run(k6, service, scenario, proof))
    for (const name of crossed) found.add(name)
    const mistakes = mistakesOf(proof, crossed)
    failures += mistakes.length
    console.log(
      `| ${scenario} | ${proof.fault.name} | ${crossed.map(name => `\`${name}\``).join(', ') || 'none'} |`,
    )
    for (const mistake of mistakes) console.log(`FAILED: ${mistake}`)
  }
  const unproven = thresholdsOf(scenario).filter(name => !found.has(name))
  for (const name of unproven) console.log(`FAILED: nothing crossed ${scenario} ${name}`)
  return failures + unproven.length
}

const k6 = await findK6()
const wanted = process.argv.slice(2)
const scenarios: readonly Scenario[] = ['websocket', 'e2e', 'http', 'batch']
const unknown = wanted.filter(name => !scenarios.some(scenario => scenario === name))
if (unknown.length > 0) {
  console.error(`usage: bun k6/prove.ts [${scenarios.join('|')}]…`)
  process.exit(1)
}
console.log('| Scenario | Fault | Thresholds crossed |\n|---|---|---|')
let failures = 0
for (const scenario of scenarios)
  if (wanted.length === 0 || wanted.includes(scenario)) failures += await prove(k6, scenario)
console.log(failures === 0 ? 'Every fault was found, and every threshold found one.' : `${failures} failed`)
process.exitCode = failures === 0 ? 0 : 1
