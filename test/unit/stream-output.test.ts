import { expect, test } from 'bun:test'
import { createOutputs, StreamOutput } from '../../src/transport/stream-output.ts'
import { startStopwatch } from '../support/stopwatch.ts'

const EVENTS = 1_000
const OWNER = { hasEnded: () => false, gone: () => undefined }

/** A runtime that takes the first chunk and never says that the system has taken it. */
const STUCK = {
  write: () => new Promise<number>(() => undefined),
  flush: () => 0,
  end: () => undefined,
  close: () => undefined,
  start: () => undefined,
} as unknown as ReadableStreamDirectController

test('streams that wait with different texts of one length take 50,000 events within 3 s', () => {
  const outputs = createOutputs(error => expect(error).toBeUndefined())
  const streams = Array.from({ length: 50 }, () => new StreamOutput(OWNER, outputs))
  for (const [n, stream] of streams.entries()) {
    stream.pull(STUCK)
    const own = String(n).padStart(300, '0')
    stream.write(own, own.length)
  }
  const elapsedMs = startStopwatch()
  for (let n = 0; n < EVENTS; n++) {
    const text = String(n).padStart(900, '0')
    for (const stream of streams) stream.write(text, text.length)
  }
  expect(elapsedMs()).toBeLessThan(3_000)
  for (const stream of streams) expect(stream.waiting).toBe(300 + EVENTS * 900)
})

test('each stream gets its own texts in order, also when others have got the same texts before or between', () => {
  const outputs = createOutputs(error => expect(error).toBeUndefined())
  const written: string[][] = []
  const streams = [0, 1, 2].map(n => {
    const stream = new StreamOutput(OWNER, outputs)
    const chunks: string[] = []
    written[n] = chunks
    stream.pull({ ...STUCK, write: (text: string) => chunks.push(text) } as unknown as typeof STUCK)
    return stream
  })
  const [a, b, c] = streams as [StreamOutput, StreamOutput, StreamOutput]
  for (const stream of streams) stream.write('room1 ', 6)
  b.write('own ', 4)
  for (const stream of streams) stream.write('room2 ', 6)
  for (const stream of [c, a]) stream.write('room3 ', 6)
  for (const stream of streams) stream.flush()
  a.write('room1 ', 6)
  a.flush()
  expect(written.map(([, ...chunks]) => chunks)).toEqual([
    ['room1 room2 room3 ', 'room1 '],
    ['room1 own room2 '],
    ['room1 room2 room3 '],
  ])
})
