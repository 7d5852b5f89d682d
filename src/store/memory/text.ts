import { Deque } from '../../lib/collections/deque.ts'
import { ASCII, SHARED } from './rows.ts'

/** Characters of all texts in `RecentTexts`. */
const MAX_RECENT = 1024 * 1024

/** A body that several entries hold. */
export interface SharedBody {
  readonly index: number
  /** Slab × UNITS + unit. */
  place: number
  holders: number
  /** Its text while `RecentTexts` keeps it. */
  text: string | undefined
}

/** A text to keep, for one entry or for consecutive drafts that share it. */
export class Text {
  readonly text: string
  /** UTF-8 bytes of the text. */
  readonly bytes: number
  readonly isShared: boolean
  /** Bits of the field FLAGS. */
  readonly flags: number
  /** Body of the last entry that kept a shared text. All holders may have left their logs since. */
  body: SharedBody | undefined

  constructor(text: string, isShared: boolean) {
    this.text = text
    // Also copies the text into one piece: it consists of slices of a request.
    this.bytes = Buffer.byteLength(text)
    this.isShared = isShared
    this.flags = (isShared ? SHARED : 0) | (this.bytes === text.length ? ASCII : 0)
  }
}

/** Keeps the shared bodies that were read last as text: their users often reconnect at the same time. */
export class RecentTexts {
  readonly #bodies = new Deque<SharedBody>()
  #length = 0

  add(body: SharedBody, text: string): void {
    body.text = text
    this.#bodies.insert(this.#bodies.length, body)
    this.#length += text.length
    while (this.#length > MAX_RECENT) {
      const oldest = this.#bodies.shift()
      this.#length -= oldest?.text?.length ?? 0
      if (oldest !== undefined) oldest.text = undefined
    }
  }
}
