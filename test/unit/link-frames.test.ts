import { describe, expect, test } from 'bun:test'
import {
  createFrameReader,
  frameOf,
  KINDS,
  MAX_FRAME_BYTES,
  type RecordKind,
  readRecords,
  recordOf,
} from '../../src/bus/links/frames.ts'
import { createOutgoing, MAX_WAITING } from '../../src/bus/links/outgoing.ts'
import { createRandom, type Random } from '../support/random.ts'

type LinkRecord = readonly [kind: RecordKind, topic: string, text: string]

const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 1e6))
const ALL_KINDS = Object.keys(KINDS) as [RecordKind, ...RecordKind[]]
const TEXTS = [
  '',
  'a',
  '{"a":1}\n',
  'line\nline',
  'é',
  '字',
  '🙂🙂',
  'm3 4\n',
  '\0',
  'x'.repeat(70_000),
] as const

const randomRecord = (random: Random): LinkRecord => [
  random.pick(ALL_KINDS),
  random.pick(TEXTS),
  random.pick(TEXTS),
]

/** What a receiver reads from these chunks. */
function readAll(chunks: readonly Buffer[]): readonly LinkRecord[] {
  const found: LinkRecord[] = []
  const read = createFrameReader(records => readRecords(records, (...record) => found.push(record)))
  for (const chunk of chunks) read(chunk)
  return found
}

const joined = (records: readonly LinkRecord[]): string => records.map(each => recordOf(...each)).join('')

describe('frames between workers', () => {
  test(`records arrive whole and in order, however the socket cuts the bytes (SEED=${seed})`, () => {
    const random = createRandom(seed)
    for (let round = 0; round < 40; round++) {
      const turns = Array.from({ length: random.whole(1, 5) }, () =>
        Array.from({ length: random.whole(1, 6) }, () => randomRecord(random)),
      )
      const bytes = Buffer.concat(turns.map(turn => frameOf(joined(turn))))
      const chunks: Buffer[] = []
      for (let at = 0; at < bytes.length; ) {
        const size = random.chance(0.5) ? random.whole(1, 7) : random.whole(1, 65_536)
        chunks.push(bytes.subarray(at, at + size))
        at += size
      }
      expect(readAll(chunks)).toEqual(turns.flat())
    }
  })

  test('a lone surrogate becomes the replacement character, as in Redis, and the records after it are whole', () => {
    const found = readAll([
      frameOf(
        joined([
          ['message', 'a', '\ud83d'],
          ['message', 'b', 'next'],
        ]),
      ),
    ])
    expect(found).toEqual([
      ['message', 'a', '\ufffd'],
      ['message', 'b', 'next'],
    ])
  })

  test('a message that ends in the middle is not passed on', () => {
    const bytes = frameOf(recordOf('message', 'topic', 'text'))
    for (let size = 0; size < bytes.length; size++) expect(readAll([bytes.subarray(0, size)])).toEqual([])
  })

  test.each([
    ['an unknown kind', 'x1 1\nab'],
    ['no lengths', 'message'],
    ['a length that is no number', 'ma 1\nab'],
    ['a negative length', 'm-1 1\nab'],
    ['an empty length', 'm 1\nab'],
    ['a length beyond the frame', 'm1 99\nab'],
  ])('a frame with %s is refused', (_, records) => {
    expect(() => readAll([frameOf(records)])).toThrow('expected records of a worker')
  })

  test('a frame that says it is longer than the bound is refused before its bytes arrive', () => {
    const head = Buffer.alloc(4)
    head.writeUInt32LE(MAX_FRAME_BYTES + 1)
    expect(() => readAll([head])).toThrow('expected records of a worker')
  })
})

describe('records on their way to a sibling', () => {
  /** A socket that takes as many bytes as the test allows. */
  function open() {
    const socket = { room: Number.POSITIVE_INFINITY, taken: [] as Buffer[], writes: 0, isFull: false }
    const out = createOutgoing({
      write: bytes => {
        socket.writes++
        const size = Math.min(socket.room, bytes.length)
        socket.room -= size
        socket.taken.push(Buffer.from(bytes.subarray(0, size)))
        return size
      },
      onFull: () => {
        socket.isFull = true
      },
    })
    return { socket, out }
  }
  const endOfTurn = () => new Promise(setImmediate)

  test('those of one turn leave in one write', async () => {
    const { socket, out } = open()
    for (const text of ['a', 'b', 'c']) out.put(recordOf('message', 'topic', text))
    expect(socket.writes).toBe(0)
    await endOfTurn()
    expect(socket.writes).toBe(1)
    expect(readAll(socket.taken).map(([, , text]) => text)).toEqual(['a', 'b', 'c'])
  })

  test('a reader that stops in the middle of a message gets the rest in order when it reads again', async () => {
    const { socket, out } = open()
    socket.room = 7
    for (const text of ['a', 'b', 'c']) {
      out.put(recordOf('message', 'topic', text))
      await endOfTurn()
    }
    expect(readAll(socket.taken)).toEqual([])
    for (let turn = 0; turn < 20; turn++) {
      socket.room += 5
      out.drain()
    }
    expect(readAll(socket.taken).map(([, , text]) => text)).toEqual(['a', 'b', 'c'])
    expect(socket.isFull).toBe(false)
  })

  test('a reader that never reads fills a bounded queue, and then loses its link', async () => {
    const { socket, out } = open()
    socket.room = 0
    const record = recordOf('message', 'topic', 'x'.repeat(1_000_000))
    let count = 0
    while (!socket.isFull && count < 1_000) {
      out.put(record)
      count++
      if (count % 10 === 0) await endOfTurn()
    }
    expect(socket.isFull).toBe(true)
    expect(count).toBeLessThanOrEqual(Math.ceil(MAX_WAITING / 1_000_000) + 10)
  })
})
