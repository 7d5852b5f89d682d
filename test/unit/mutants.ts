import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { NodeParts } from '../cluster/schedule.ts'

const SOURCE = join(import.meta.dir, '../../src/dispatch')
/** The files that mutants change, and those that must load a mutant. */
const FILES = [
  'delivery',
  'receipts',
  'rounds',
  'start',
  'sweep',
  'cluster/calls',
  'cluster/cluster-reach',
  'cluster/interest',
  'cluster/pushes',
  'cluster/question',
  'cluster/user-calls',
] as const

/** A rule that is broken by replacing one text of one file. */
export interface Mutant {
  readonly rule: string
  readonly file: (typeof FILES)[number]
  readonly from: string
  readonly to: string
  /** A schedule of one node that exposes it; absent for a rule between nodes. */
  readonly seed?: number
  /** A schedule of several nodes that exposes it. */
  readonly nodesSeed?: number
}

export const MUTANTS: readonly Mutant[] = [
  {
    rule: '(a) awaits between the last check and becoming live',
    file: 'delivery',
    from: `    connection.phase = 'live'\n`,
    to: `    await turn()\n    connection.phase = 'live'\n`,
    seed: 4,
    nodesSeed: 7,
  },
  {
    rule: '(b) moves the position to the last entry only, not to the end of the page',
    file: 'delivery',
    from: 'if (written.length === entries.length) connection.position = Math.max(connection.position, through)',
    to: '',
    seed: 1,
  },
  {
    rule: '(c) writes over a gap',
    file: 'delivery',
    from: 'cursor.seq === position + 1',
    to: 'cursor.seq > position',
    seed: 2,
    nodesSeed: 4,
  },
  {
    rule: '(c) writes older entries again',
    file: 'delivery',
    from: `cursor.seq <= position) return 'known'`,
    to: `cursor.seq <= position) return connection.write(frame)`,
    seed: 8,
    nodesSeed: 1,
  },
  {
    rule: 'does not count replayed entries',
    file: 'delivery',
    from: 'if (written.length > 0) onReplayed(connection, epoch, written)',
    to: '',
    seed: 1,
  },
  {
    rule: '(d) reads one page only',
    file: 'delivery',
    from: 'while (!(isKnown && isLevel(connection))) {',
    to: 'for (let page = 0; page < 1; page++) {',
    seed: 3,
  },
  {
    rule: '(d) takes a page for the last without knowing the head',
    file: 'delivery',
    from: 'if (forgetOtherLives(connection)) isKnown = false',
    to: 'forgetOtherLives(connection)',
    seed: 22,
    nodesSeed: 26,
  },
  {
    rule: '(e) ignores an offer of another epoch',
    file: 'delivery',
    from: '      hint(connection, cursor)\n      return',
    to: '      if (phase === "starting" || cursor.epoch === epoch) hint(connection, cursor)\n      return',
    seed: 29,
    nodesSeed: 11,
  },
  {
    rule: '(e) trusts an offer of another epoch without a read',
    file: 'delivery',
    from: `const sameLife = phase !== 'starting' && cursor.epoch === epoch`,
    to: `const sameLife = phase !== 'starting'`,
    seed: 29,
    nodesSeed: 3,
  },
  {
    rule: '(e) forgets an offer of a third epoch',
    file: 'delivery',
    from: 'connection.stale = true',
    to: 'connection.stale = false',
    seed: 22520,
  },
  {
    rule: '(f) keeps the position across epochs',
    file: 'delivery',
    from: 'connection.position = rebase(placeOf(connection), bases)',
    to: '',
    seed: 9,
    nodesSeed: 2,
  },
  {
    rule: '(f) considers one base instead of all since',
    file: 'start',
    from: '...bases.slice(first).map(base => base.seq)',
    to: 'bases[first]?.seq ?? 0',
    seed: 2,
  },
  {
    rule: '(g) reports no head that is ahead',
    file: 'sweep',
    from: 'for (const connection of hub.members(owner)) delivery.behind(connection, head)',
    to: '{}',
    seed: 7,
    nodesSeed: 2,
  },
  {
    rule: '(g) sweeps live connections only',
    file: 'delivery',
    from: `if (phase === 'ended' || (phase`,
    to: `if (phase !== 'live' || (phase`,
    seed: 119,
    nodesSeed: 4,
  },
  {
    rule: '(g) ignores another epoch found by a sweep',
    file: 'delivery',
    from: 'head.epoch === epoch && head.seq <= position)) return',
    to: 'head.seq <= position)) return',
    seed: 4417,
    nodesSeed: 2,
  },
  {
    rule: '(g) forgets a sweep requested during another',
    file: 'rounds',
    from: 'while (isWanted && !isClosed) {',
    to: 'for (const _ of [1]) {',
    seed: 7,
    nodesSeed: 8326,
  },
  {
    rule: '(g) ends a sweep when the log does not answer',
    file: 'rounds',
    from: 'if (await tryVisit(some)) from += OWNERS_AT_ONCE',
    to: 'await tryVisit(some)\n        from += OWNERS_AT_ONCE',
    seed: 224,
    nodesSeed: 29,
  },
  {
    rule: '(h) continues a replay while the client is behind',
    file: 'delivery',
    from: `if (how !== 'sent') break`,
    to: `if (how === 'refused') break`,
    seed: 2,
  },
  {
    rule: '(h) does not wait for the drain in a replay',
    file: 'delivery',
    from: 'if (connection.buffered() > 0) await connection.drained()',
    to: '',
    seed: 4,
  },
  {
    rule: '(h) skips removed entries for a client that resumes by cursor',
    file: 'delivery',
    from: 'if (isBroken(connection, page)) connection.cut()\n    else writePage',
    to: 'writePage',
    seed: 6,
    nodesSeed: 16,
  },
  {
    rule: '(k) drops offers before the start',
    file: 'delivery',
    from: '  note(connection, head)\n}\n',
    to: '  connection.latest = head\n}\n',
    seed: 220,
    nodesSeed: 69,
  },
  {
    rule: '(k) takes an early offer of another epoch for one of this epoch',
    file: 'delivery',
    from: 'latest.epoch === epoch && latest.seq <= position',
    to: 'latest.seq <= position',
    seed: 29,
    nodesSeed: 2,
  },
  {
    rule: '(l) applies receipts while another device waits for its start',
    file: 'receipts',
    from: `if (device.phase === 'starting') return`,
    to: `if (device.phase === 'ended') return`,
    seed: 3,
    nodesSeed: 18,
  },
  {
    rule: '(l) takes a cursor of another epoch for a receipt of this one',
    file: 'delivery',
    from: 'presented?.epoch === opened.head.epoch && presented.seq <= opened.head.seq',
    to: 'presented !== undefined',
    seed: 1,
    nodesSeed: 3,
  },
  {
    rule: 'replays to a connection that ended during its greeting',
    file: 'delivery',
    from: `    if (connection.hasEnded()) return\n    connection.phase = 'replaying'\n`,
    to: `    connection.phase = 'replaying'\n`,
    seed: 3,
  },
  {
    rule: 'does not wait until messages of other nodes reach this node',
    file: 'cluster/interest',
    from: 'return Promise.all(joining).then(() => sharedUsers?.opened(topics))',
    to: 'return sharedUsers?.opened(topics)',
    nodesSeed: 84,
  },
  {
    rule: 'drops a push whose shared body did not arrive',
    file: 'cluster/pushes',
    from: '      behind(owner, cursor)\n',
    to: '',
    nodesSeed: 2,
  },
]

/** The source with imports that work in a copy: of the other copies as they are, of all else by their full path. */
async function sourceOf(name: string): Promise<string> {
  const path = join(SOURCE, `${name}.ts`)
  const text = await Bun.file(path).text()
  return text.replace(/from '(\.[^']+)'/g, (kept, imported: string) => {
    const target = join(path, '..', imported)
    return FILES.some(file => target === join(SOURCE, `${file}.ts`)) ? kept : `from '${target}'`
  })
}

/** Copies of the parts with one text replaced, each in its own folder. */
export function createMutants() {
  const folder = mkdtempSync(join(tmpdir(), 'delivery-'))
  return {
    load: async ({ file, from, to, rule }: Mutant): Promise<NodeParts> => {
      const home = mkdtempSync(join(folder, 'mutant-'))
      for (const name of FILES) {
        const source = await sourceOf(name)
        // A rule whose source text has changed must not count as caught.
        const places = source.split(from).length - 1
        if (name === file && places !== 1) throw new Error(`${rule}: its text occurs ${places} times`)
        await Bun.write(join(home, `${name}.ts`), name === file ? source.replace(from, () => to) : source)
      }
      const delivery: Pick<NodeParts, 'createDelivery'> = await import(join(home, 'delivery.ts'))
      const receipts: Pick<NodeParts, 'createReceipts'> = await import(join(home, 'receipts.ts'))
      const sweep: Pick<NodeParts, 'createSweep'> = await import(join(home, 'sweep.ts'))
      const interest: Pick<NodeParts, 'createInterest'> = await import(join(home, 'cluster/interest.ts'))
      const reach: Pick<NodeParts, 'createClusterReach'> = await import(
        join(home, 'cluster/cluster-reach.ts')
      )
      return { ...delivery, ...receipts, ...sweep, ...interest, ...reach }
    },
    remove: () => rmSync(folder, { recursive: true }),
  }
}
