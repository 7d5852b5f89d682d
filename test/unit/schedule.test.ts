import { afterAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createDelivery } from '../../src/dispatch/delivery.ts'
import { createReceipts } from '../../src/dispatch/receipts.ts'
import { createSweep } from '../../src/dispatch/sweep.ts'
import { type Parts, play } from './schedule.ts'

const SCHEDULES = 12_000
const PARTS = 6
const SOURCE = join(import.meta.dir, '../../src/dispatch')
const real: Parts = { createDelivery, createReceipts, createSweep }

describe('in random schedules of answers, hints, cuts and epochs of the log', () => {
  const first = Number(process.env['SCHEDULE_SEED'] ?? 1)
  for (let part = 0; part < PARTS; part++)
    test(`delivery keeps its promises (${part + 1} of ${PARTS})`, async () => {
      const size = process.env['SCHEDULE_SEED'] === undefined ? SCHEDULES / PARTS : 1
      for (let seed = first + part * size; seed < first + (part + 1) * size; seed++)
        expect({ seed, faults: await play(real, seed) }).toEqual({ seed, faults: [] })
    }, 60_000)
})

interface Mutant {
  readonly rule: string
  readonly file: 'delivery' | 'receipts' | 'start' | 'sweep'
  readonly from: string
  readonly to: string
  /** A schedule that exposes the mutant. */
  readonly seed: number
}

const MUTANTS: readonly Mutant[] = [
  {
    rule: '(a) awaits between the last check and becoming live',
    file: 'delivery',
    from: `    connection.phase = 'live'\n`,
    to: `    await turn()\n    connection.phase = 'live'\n`,
    seed: 4,
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
  },
  {
    rule: '(c) writes older entries again',
    file: 'delivery',
    from: `        if (isNew) onOfferedLate(connection)\n        return 'known'`,
    to: `        return connection.write(frame)`,
    seed: 8,
  },
  {
    rule: 'counts a replayed entry twice when it is offered',
    file: 'delivery',
    from: 'if (isNew) onOfferedLate(connection)\n',
    to: '',
    seed: 1,
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
  },
  {
    rule: '(e) ignores an offer of another epoch',
    file: 'delivery',
    from: '      hint(connection, cursor)\n      return',
    to: '      if (phase === "starting" || cursor.epoch === epoch) hint(connection, cursor)\n      return',
    seed: 29,
  },
  {
    rule: '(e) trusts an offer of another epoch without a read',
    file: 'delivery',
    from: `const sameLife = phase !== 'starting' && cursor.epoch === epoch`,
    to: `const sameLife = phase !== 'starting'`,
    seed: 29,
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
  },
  {
    rule: '(g) sweeps live connections only',
    file: 'delivery',
    from: `if (phase === 'ended' || (phase`,
    to: `if (phase !== 'live' || (phase`,
    seed: 119,
  },
  {
    rule: '(g) ignores another epoch found by a sweep',
    file: 'delivery',
    from: 'head.epoch === epoch && head.seq <= position)) return',
    to: 'head.seq <= position)) return',
    seed: 4417,
  },
  {
    rule: '(g) forgets a sweep requested during another',
    file: 'sweep',
    from: 'while (isWanted && !isClosed) {',
    to: 'for (const _ of [1]) {',
    seed: 7,
  },
  {
    rule: '(g) ends a sweep when the log does not answer',
    file: 'sweep',
    from: 'if (await tryCompare(some)) from += OWNERS_AT_ONCE',
    to: 'await tryCompare(some)\n        from += OWNERS_AT_ONCE',
    seed: 224,
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
  },
  {
    rule: '(k) drops offers before the start',
    file: 'delivery',
    from: '  note(connection, head)\n}\n',
    to: '  connection.latest = head\n}\n',
    seed: 220,
  },
  {
    rule: '(k) takes an early offer of another epoch for one of this epoch',
    file: 'delivery',
    from: 'latest.epoch === epoch && latest.seq <= position',
    to: 'latest.seq <= position',
    seed: 29,
  },
  {
    rule: '(l) applies receipts while another device waits for its start',
    file: 'receipts',
    from: `if (device.phase === 'starting') return`,
    to: `if (device.phase === 'ended') return`,
    seed: 3,
  },
  {
    rule: '(l) takes a cursor of another epoch for a receipt of this one',
    file: 'delivery',
    from: 'presented?.epoch === opened.head.epoch && presented.seq <= opened.head.seq',
    to: 'presented !== undefined',
    seed: 1,
  },
  {
    rule: 'replays to a connection that ended during its greeting',
    file: 'delivery',
    from: `    if (connection.hasEnded()) return\n    connection.phase = 'replaying'\n`,
    to: `    connection.phase = 'replaying'\n`,
    seed: 3,
  },
]

describe('the check catches a mutant that', () => {
  const folder = mkdtempSync(join(tmpdir(), 'delivery-'))
  afterAll(() => rmSync(folder, { recursive: true }))

  const sourceOf = async (file: string) =>
    (await Bun.file(join(SOURCE, `${file}.ts`)).text()).replaceAll(
      "from '../",
      `from '${join(SOURCE, '..')}/`,
    )

  /** Copies of the parts with one text replaced, in their own folder. */
  const mutated = async ({ file, from, to, rule }: Mutant): Promise<Parts> => {
    const home = mkdtempSync(join(folder, 'mutant-'))
    for (const name of ['delivery', 'receipts', 'start', 'sweep']) {
      const source = await sourceOf(name)
      // A rule whose source text has changed must not count as caught.
      if (name === file) expect({ rule, places: source.split(from).length - 1 }).toEqual({ rule, places: 1 })
      await Bun.write(join(home, `${name}.ts`), name === file ? source.replace(from, () => to) : source)
    }
    const delivery: Pick<Parts, 'createDelivery'> = await import(join(home, 'delivery.ts'))
    const receipts: Pick<Parts, 'createReceipts'> = await import(join(home, 'receipts.ts'))
    const sweep: Pick<Parts, 'createSweep'> = await import(join(home, 'sweep.ts'))
    return { ...delivery, ...receipts, ...sweep }
  }

  for (const mutant of MUTANTS)
    test(mutant.rule, async () => {
      const parts = await mutated(mutant)
      expect(await play(parts, mutant.seed)).not.toEqual([])
      expect(await play(real, mutant.seed)).toEqual([])
    }, 60_000)
})
