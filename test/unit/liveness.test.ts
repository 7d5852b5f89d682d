import { expect, test } from 'bun:test'
import { createHub } from '../../src/hub/hub.ts'
import { createEnding } from '../../src/transport/ending.ts'
import { keepAlive } from '../../src/transport/liveness.ts'
import { Peer } from '../../src/transport/peer.ts'
import { createTestClock } from '../support/clock.ts'
import { eventually } from '../support/visit.ts'

class FakePeer extends Peer {
  readonly transport = 'ws'
  beats = 0
  cuts = 0
  isBroken = false

  constructor(user: string, now: number) {
    super({ user, tenant: 'default', roles: [], expiresAt: Number.MAX_SAFE_INTEGER }, false, now)
  }

  #work(): void {
    if (this.isBroken) throw new Error('a fault of one connection')
    this.beats++
  }
  override beat(): void {
    this.#work()
  }
  override ping(): void {
    this.#work()
  }
  override shutdown(): void {
    this.#work()
    this.phase = 'ended'
  }
  override write(): 'sent' {
    return 'sent'
  }
  override cut(): void {
    this.cuts++
  }
  override batch(writes: () => void): void {
    writes()
  }
  override taken(): number {
    return 0
  }
  override buffered(): number {
    return 0
  }
  override unblock(): void {}
  override ask(): void {}
  override drained(): Promise<void> {
    return Promise.resolve()
  }
  override close(): void {}
  override listen(): boolean {
    return true
  }
  override unlisten(): void {}
}

test('a failed heartbeat ends its connection, and all others get theirs', async () => {
  const clock = createTestClock()
  const hub = createHub<Peer>()
  const faults: unknown[] = []
  const peers = ['a', 'b', 'c'].map(user => new FakePeer(user, clock.monotonic()))
  for (const peer of peers) hub.open(peer)
  const [, broken] = peers
  if (broken !== undefined) broken.isBroken = true
  using _ = keepAlive({
    hub,
    streams: { tick: () => false },
    buffers: {
      measure: () => {
        throw new Error('a fault of the tick itself')
      },
    },
    end: peer => hub.end(peer),
    clock,
    onFault: error => void faults.push(error),
    leewaySeconds: 60,
    heartbeatSeconds: 30,
    timeoutSeconds: 120,
    cleanupSeconds: 60,
  })
  for (let n = 1; n <= 3; n++) {
    await eventually(() => peers[0]?.beats === n && peers[2]?.beats === n)
    clock.jump(30)
  }
  expect(faults.filter(fault => String(fault).includes('one connection'))).toHaveLength(1)
  expect(broken).toMatchObject({ beats: 0, cuts: 1 })
})

test('a connection that cannot be closed does not stop the drain of the others', async () => {
  const clock = createTestClock()
  const faults: unknown[] = []
  const peers = ['a', 'b', 'c', 'd'].map(user => new FakePeer(user, clock.monotonic()))
  for (const peer of peers.slice(0, 2)) peer.isBroken = true
  const hub = createHub<FakePeer>()
  for (const peer of peers) hub.open(peer)
  await createEnding({
    hub,
    hasOtherNodes: () => false,
    clock,
    onFault: error => void faults.push(error),
  }).drain(0)
  expect(peers.map(peer => peer.hasEnded())).toEqual([false, false, true, true])
  expect(faults).toHaveLength(2)
})
