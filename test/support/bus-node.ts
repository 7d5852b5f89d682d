import type { Bus, BusTopic } from '../../src/bus/bus.ts'
import { createInbox, type Inbox } from './inbox.ts'

export interface Arrival {
  readonly topic: BusTopic
  readonly message: string
}

/** A node on a bus, with the messages that it received. */
export interface BusNode extends AsyncDisposable {
  readonly bus: Bus
  readonly inbox: Inbox<Arrival>
  /** Texts received on a topic so far, in order. */
  on(topic: BusTopic): readonly string[]
}

export function busNode(bus: Bus): BusNode {
  const inbox = createInbox<Arrival>()
  bus.listen((topic, message) => inbox.push({ topic, message }))
  return {
    bus,
    inbox,
    on: topic => inbox.all.filter(each => each.topic === topic).map(({ message }) => message),
    [Symbol.asyncDispose]: async () => bus[Symbol.asyncDispose](),
  }
}
