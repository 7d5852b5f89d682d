import type { Cursor } from '../notification/cursor.ts'
import type { Topic } from '../notification/topic.ts'

/** An entry on its way to other nodes. */
export interface Push {
  /** Call that collects their answers. */
  readonly id: number
  /** Number of nodes, this one included if it has a connection of the owner. */
  readonly nodes: number
}

/** Makes messages that a store publishes with the commands that append. All nodes with connections of the owner get them. */
export interface PushSource {
  /** Redis channel of the owner's topic. */
  channelOf(owner: Topic): string
  /** Id of a new push. */
  begin(): number
  /** Head of its message; a line break and the text that `parsePush` reads follow. */
  headOf(id: number): string
  /** Tells all nodes a body that many entries refer to, once and before them. */
  share(tenant: string, id: string, body: string): { readonly channel: string; readonly message: string }
}

/** A pushed entry as another node receives it. */
export interface PushedEntry {
  readonly cursor: Cursor
  readonly repeated: boolean
  /** Milliseconds from the acceptance to the append. */
  readonly elapsedMs: number
  /** When the send was accepted, by the monotonic clock of the node that pushed it. */
  readonly acceptedAt: number
  /** A body, or a reference to a shared one. */
  readonly body: string
}

/** A NUL, the size, a blank, the notification's id. No body starts with a NUL, because a body is JSON. */
const REFERENCE = /^\0(\d+) (.*)$/s

/** Text that stands for a body which is stored, or told to other nodes, once for many users. */
export const referenceTo = (id: string, bytes: number): string => `\0${bytes} ${id}`

/** Notification id in a reference; undefined for a body. */
export const referredId = (text: string): string | undefined =>
  text.startsWith('\0') ? REFERENCE.exec(text)?.[2] : undefined

/** Reads the text of a push: epoch, seq, 1 if repeated, elapsed milliseconds, acceptance; then the body on the next line. */
export function parsePush(text: string): PushedEntry {
  const end = text.indexOf('\n')
  const [epoch = '', seq, repeated, elapsed, acceptedAt] = text.slice(0, end).split(' ', 5)
  return {
    cursor: { epoch, seq: Number(seq) },
    repeated: repeated === '1',
    elapsedMs: Number(elapsed),
    acceptedAt: Number(acceptedAt),
    body: text.slice(end + 1),
  }
}
