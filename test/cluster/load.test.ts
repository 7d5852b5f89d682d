import { describe, expect, test } from 'bun:test'
import { type Attempt, countFigures, NO_FAULTS, type Read, type Trail, type Visit } from './load.ts'

const attempts: readonly Attempt[] = [0, 1, 2].map(n => ({
  user: 'ann',
  sender: 0,
  n,
  id: `id${n}`,
  answeredAt: 100,
}))
const unanswered: Attempt = { user: 'ann', sender: 0, n: 3 }
const read = (seq: number, n: number, other: Partial<Read> = {}): Read => ({
  id: `id${n}`,
  epoch: 'e',
  seq,
  sender: 0,
  n,
  at: 90 + 10 * seq,
  ...other,
})
const all = [read(1, 0), read(2, 1), read(3, 2)]
const visit = (reads: readonly Read[], presented: string | undefined = ''): Visit => ({
  presented,
  reads: [...reads],
})
const plain = (...reads: readonly Read[]): Visit => ({ presented: undefined, reads: [...reads] })
const count = (visits: readonly Visit[], tried = attempts, more: readonly Trail[] = []) =>
  countFigures(tried, [{ user: 'ann', visits }, ...more])

describe('the count of faults in a cluster', () => {
  test('is zero when each client reads every accepted send once, over any number of connections', () => {
    expect(count([visit(all.slice(0, 2)), visit([]), visit(all.slice(2), 'e:2')])).toEqual({
      ...NO_FAULTS,
      accepted: 3,
      lateMs: 20,
    })
  })

  test('accepts a send without an answer, read or not', () => {
    const tried = [...attempts, unanswered]
    expect(count([visit(all)], tried)).toMatchObject(NO_FAULTS)
    expect(count([visit([...all, read(4, 3)])], tried)).toMatchObject(NO_FAULTS)
  })

  test('accepts a client without cursor that starts late or reads again on another connection', () => {
    const tried: Trail = { user: 'ann', visits: [visit(all)] }
    expect(count([plain(...all.slice(1)), plain(...all.slice(1))], attempts, [tried])).toMatchObject(
      NO_FAULTS,
    )
  })

  test('accepts a lower seq with a new epoch', () => {
    expect(count([visit([...all.slice(0, 2), read(1, 2, { epoch: 'f' })])])).toMatchObject(NO_FAULTS)
  })

  test('includes an accepted send that a resuming client has not read, whatever others read', () => {
    const other: Trail = { user: 'ann', visits: [visit(all)] }
    expect(count([visit(all.slice(0, 2))], attempts, [other])).toMatchObject({ ...NO_FAULTS, lost: 1 })
  })

  test('includes an accepted send that no client without cursor has read', () => {
    const other: Trail = { user: 'ann', visits: [plain(all[0] as Read)] }
    expect(count([plain(...all.slice(0, 2))], attempts, [other])).toMatchObject({ ...NO_FAULTS, lost: 1 })
  })

  test('includes a read that was never sent, has another id than answered, or belongs to another user', () => {
    const bob: Trail = { user: 'bob', visits: [visit([read(1, 0)])] }
    expect(count([visit([...all, read(4, 9)])])).toMatchObject({ ...NO_FAULTS, phantom: 1 })
    expect(count([visit([...all, read(4, 2, { id: 'other' })])])).toMatchObject({ phantom: 1 })
    expect(count([visit(all)], attempts, [bob])).toMatchObject({ ...NO_FAULTS, phantom: 1 })
  })

  test('includes a repeat on one connection, or on the next one of a client that resumes', () => {
    const again = read(4, 2)
    expect(count([visit([...all, again])])).toMatchObject({ ...NO_FAULTS, duplicates: 1 })
    expect(count([visit(all), visit([again], 'e:3')])).toMatchObject({ ...NO_FAULTS, duplicates: 1 })
  })

  test('includes a gap, a start at another place than presented, and a broken order of one sender', () => {
    expect(count([visit([...all.slice(0, 2), read(4, 2)])])).toMatchObject({ ...NO_FAULTS, inversions: 1 })
    expect(count([visit(all.slice(0, 2)), visit([read(4, 2)], 'e:2')])).toMatchObject({ inversions: 1 })
    expect(count([visit([read(1, 1), read(2, 0), read(3, 2)])])).toMatchObject({
      ...NO_FAULTS,
      inversions: 1,
    })
  })
})
