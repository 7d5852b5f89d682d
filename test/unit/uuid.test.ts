import { expect, test } from 'bun:test'
import { createUuids } from '../../src/lib/uuid.ts'

const V4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

test('each id is a UUID v4 of its own', () => {
  const newId = createUuids()
  const ids = Array.from({ length: 10_000 }, newId)
  for (const id of ids) expect(id).toMatch(V4)
  expect(new Set(ids).size).toBe(ids.length)
})

test('ids that follow each other are neighbours in an index, and two sources share no run', () => {
  const runsOf = (ids: readonly string[]) => new Set(ids.map(id => id.slice(0, 8)))
  const [mine, others] = [createUuids(), createUuids()].map(newId =>
    runsOf(Array.from({ length: 640 }, newId)),
  )
  expect(mine?.size).toBe(10)
  expect(others?.intersection(mine ?? new Set()).size).toBe(0)
})
