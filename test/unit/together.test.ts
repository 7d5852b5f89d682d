import { expect, test } from 'bun:test'
import type { ServerWebSocket } from 'bun'
import { createTogether, type Together } from '../../src/hub/together.ts'
import type { Cursor } from '../../src/notification/cursor.ts'
import { Frame } from '../../src/notification/frame.ts'
import { WebSocketPeer } from '../../src/transport/websocket-peer.ts'
import { createStoppedClock } from '../support/clock.ts'

const LIMIT = 65_536

/** A peer on a fake socket; `calls` shows what reaches the runtime, the frames of a cork in brackets. */
function peerOn(together: Together) {
  const peer = new WebSocketPeer(
    { user: 'u', tenant: 'default', roles: [], expiresAt: Number.POSITIVE_INFINITY },
    { elsewhere: { tenant: 0, user: 0 }, connectRequest: {}, unchecked: false },
    { clock: createStoppedClock(), together, sendBufferBytes: LIMIT, end: () => {} },
  )
  const calls: string[] = []
  const state = { buffered: 0, taken: 1, error: undefined as Error | undefined }
  const socket = {
    data: peer,
    readyState: WebSocket.OPEN,
    getBufferedAmount: () => state.buffered,
    send: (text: string) => {
      if (state.error !== undefined) throw state.error
      calls.push(text.length > 10 ? `${text.length}` : text)
      return state.taken
    },
    cork: (work: () => void) => {
      calls.push('[')
      work()
      calls.push(']')
    },
    ping: () => calls.push('ping'),
    close: () => calls.push('close'),
    terminate: () => calls.push('terminate'),
  } as unknown as ServerWebSocket<WebSocketPeer>
  peer.attach(socket)
  return { peer, calls, state }
}

const frame = (text: string): Frame => new Frame('e', text)
const entry = (seq: number): Cursor => ({ epoch: 'e', seq })

function start() {
  const faults: unknown[] = []
  const together = createTogether(error => faults.push(error))
  return { together, faults, one: peerOn(together), other: peerOn(together) }
}

test('frames of one piece of work leave at its end, those of a socket in one packet', () => {
  const { together, one, other } = start()
  together.run(() => {
    expect(one.peer.write(frame('a'))).toBe('sent')
    together.run(() => expect(other.peer.write(frame('b'))).toBe('sent'))
    expect(one.peer.write(frame('c'))).toBe('sent')
    expect([...one.calls, ...other.calls]).toEqual([])
  })
  expect(one.calls).toEqual(['[', 'a', 'c', ']'])
  expect(other.calls).toEqual(['b'])
  one.peer.write(frame('d'))
  expect(one.calls.slice(4)).toEqual(['d'])
})

test('frames written before an await leave during it, those of a socket in one packet', async () => {
  const { together, one } = start()
  for (const text of ['a', 'b']) {
    together.untilAwait()
    one.peer.write(frame(text))
  }
  together.run(() => one.peer.write(frame('c')))
  expect(one.calls).toEqual([])
  await Promise.resolve()
  expect(one.calls).toEqual(['[', 'a', 'b', 'c', ']'])
  one.peer.write(frame('d'))
  expect(one.calls.slice(5)).toEqual(['d'])
})

test('one ping asks for the receipt of all entries of the work, after them', () => {
  const { together, one } = start()
  one.peer.epoch = 'e'
  together.run(() => {
    for (const seq of [1, 2, 3]) {
      expect(one.peer.writeAndAsk(frame(`${seq}`), entry(seq))).toBe('sent')
      one.peer.position = seq
    }
  })
  expect(one.calls).toEqual(['[', '1', '2', '3', 'ping', ']'])
  expect(one.peer.answered('e:3')).toMatchObject({ cursor: entry(3) })
})

test('a client that is behind is written to at once, and refused beyond its limit', () => {
  const { together, one } = start()
  Object.assign(one.state, { buffered: LIMIT + 1, taken: -1 })
  together.run(() => {
    expect(one.peer.write(frame('a'))).toBe('refused')
    expect(one.calls).toEqual(['a'])
  })
})

test('a socket keeps no more than its limit, and a larger frame only alone', () => {
  const { together, one } = start()
  together.run(() => {
    one.peer.write(frame('x'.repeat(LIMIT - 1)))
    one.peer.write(frame('yz'))
    expect(one.calls).toEqual([`${LIMIT - 1}`])
    one.peer.write(frame('x'.repeat(LIMIT + 1)))
    expect(one.calls).toEqual([`${LIMIT - 1}`, 'yz'])
  })
  expect(one.calls).toEqual([`${LIMIT - 1}`, 'yz', `${LIMIT + 1}`])
})

test('a ping, a close and a flush send kept frames first; a cut drops them', () => {
  const steps: readonly [(peer: WebSocketPeer, together: Together) => void, readonly string[]][] = [
    [peer => peer.ping(), ['a', 'ping']],
    [peer => peer.close('abuse'), ['a', 'close']],
    [(_, together) => together.flush(), ['a']],
    [peer => peer.batch(() => peer.write(frame('b'))), ['a', '[', 'b', ']']],
    [peer => peer.cut(), ['terminate']],
  ]
  for (const [step, calls] of steps) {
    const { together, one } = start()
    together.run(() => {
      one.peer.write(frame('a'))
      step(one.peer, together)
      expect(one.calls).toEqual([...calls])
    })
    expect(one.calls).toEqual([...calls])
  }
})

test('a socket that refuses a kept frame, or fails, is cut; others get theirs', () => {
  const { together, faults, one, other } = start()
  const third = peerOn(together)
  const error = new Error('broken')
  one.state.taken = 0
  other.state.error = error
  together.run(() => {
    for (const { peer } of [one, other, third]) for (const text of ['a', 'b']) peer.write(frame(text))
  })
  expect(one.calls).toEqual(['[', 'a', 'terminate', ']'])
  expect(other.calls).toEqual(['[', 'terminate'])
  expect(third.calls).toEqual(['[', 'a', 'b', ']'])
  expect(faults).toEqual([error])
})

test('work that throws still sends what it wrote', () => {
  const { together, one } = start()
  const work = () => {
    one.peer.write(frame('a'))
    throw new Error('broken')
  }
  expect(() => together.run(work)).toThrow('broken')
  expect(one.calls).toEqual(['a'])
})
