import { JoinedTexts } from './joined-texts.ts'
import { ASCII, BODY, BODY_BYTES, FLAGS, KEPT, type Row, type Rows, SHARED } from './rows.ts'
import { RecentTexts, type SharedBody, type Text } from './text.ts'

const SLAB_BYTES = 256 * 1024
/** Bodies start at multiples of this many bytes. */
const UNIT = 8
const UNITS = SLAB_BYTES / UNIT
/** Larger bodies, with their header, have a slab of their own. */
const MAX_SMALL = SLAB_BYTES / 4
/** Places below 2^32 hold 131,072 slabs. */
const MAX_SLABS = 120_000
/** Before each body two i32: its row, or `-1 - index` of a shared body, and its bytes. */
const HEADER = 8
/** Dead bytes that are left alone, however few live ones there are. */
const IGNORED_BYTES = 2 * SLAB_BYTES

const sizeOf = (bytes: number): number => Math.ceil((HEADER + bytes) / UNIT) * UNIT

class Slab {
  readonly text: Buffer
  readonly words: Int32Array
  /** Bytes in use from the start, and how many of these hold no live body. */
  used = 0
  dead = 0

  constructor(bytes: number) {
    const buffer = new ArrayBuffer(bytes)
    this.text = Buffer.from(buffer)
    this.words = new Int32Array(buffer)
  }

  hasRoom(size: number): boolean {
    return this.used + size <= this.text.length
  }
}

/**
 * Bodies as UTF-8 in slabs of 256 KiB, written one after another. When more than a fifth of the bytes is dead, the live
 * bodies of the emptiest slab move to the current one. The field BODY of an entry is the place of its own body, or the
 * index of a shared one.
 */
export class Bodies {
  readonly #rows: Rows
  readonly #shared: (SharedBody | undefined)[] = []
  readonly #freeShared: number[] = []
  readonly #slabs: (Slab | undefined)[] = []
  readonly #dropped: number[] = []
  /** Index of the slab that is being filled. */
  #current = -1
  /** An empty slab, kept so that steady traffic allocates none. */
  #spare: Slab | undefined
  #used = 0
  #dead = 0
  readonly #joined = new JoinedTexts()
  readonly #recent = new RecentTexts()

  constructor(rows: Rows) {
    this.#rows = rows
  }

  /** Whether every place has a number below 2^32 for some more appends. 30 GiB of bodies reach this bound. */
  get hasRoom(): boolean {
    return this.#slabs.length - this.#dropped.length < MAX_SLABS
  }

  /** Gives an entry its body. Returns the bytes of the text, or 0 if another entry holds it too. */
  keep(row: Row, text: Text): number {
    this.#rows.setInteger(row, BODY_BYTES, text.bytes)
    this.#rows.setByte(row, FLAGS, this.#rows.byte(row, FLAGS) | text.flags)
    if (text.isShared) return this.#share(row, text)
    this.#rows.setInteger(row, BODY, this.#write(row, text))
    return text.bytes
  }

  read(row: Row): string {
    const { slab, at } = this.#find(this.#placeOf(row))
    const start = at + HEADER
    return slab.text.toString('utf8', start, start + this.#rows.integer(row, BODY_BYTES))
  }

  /** Reads the bodies of a page. */
  readAll(rows: readonly Row[]): readonly string[] {
    const texts = this.#joined
    for (const row of rows) {
      const shared = this.#sharedOf(row)
      if (shared !== undefined) texts.add(this.#textOf(shared, row))
      else if (!this.#rows.has(row, ASCII)) texts.add(this.read(row))
      else {
        const { slab, at } = this.#find(this.#placeOf(row))
        const start = at + HEADER
        texts.addBytes(slab.text, start, start + this.bytesOf(row))
      }
    }
    return texts.take()
  }

  bytesOf(row: Row): number {
    return this.#rows.integer(row, BODY_BYTES)
  }

  /** Takes the body from an entry. Returns the bytes of the text, or 0 if another entry still holds it. */
  drop(row: Row): number {
    const place = this.#placeOf(row)
    const bytes = this.#rows.integer(row, BODY_BYTES)
    const shared = this.#sharedOf(row)
    if (shared !== undefined) {
      if (--shared.holders > 0) return 0
      this.#shared[shared.index] = undefined
      this.#freeShared.push(shared.index)
    }
    this.#bury(Math.floor(place / UNITS), sizeOf(bytes))
    return bytes
  }

  #share(row: Row, text: Text): number {
    const rows = this.#rows
    let { body } = text
    const isNew = body === undefined || body.holders === 0
    if (body === undefined || body.holders === 0) {
      const index = this.#freeShared.pop() ?? this.#shared.length
      body = { index, place: this.#write(-1 - index, text), holders: 0, text: undefined }
      this.#shared[index] = body
      text.body = body
    }
    body.holders++
    rows.setInteger(row, BODY, body.index)
    return isNew ? text.bytes : 0
  }

  #textOf(shared: SharedBody, row: Row): string {
    if (shared.text !== undefined) return shared.text
    const text = this.read(row)
    this.#recent.add(shared, text)
    return text
  }

  #sharedOf(row: Row): SharedBody | undefined {
    return this.#rows.has(row, SHARED) ? this.#shared[this.#rows.integer(row, BODY)] : undefined
  }

  #placeOf(row: Row): number {
    return this.#sharedOf(row)?.place ?? this.#rows.integer(row, BODY) >>> 0
  }

  /** Returns the place. */
  #write(holder: number, { text, bytes }: Text): number {
    const place = this.#takePlace(sizeOf(bytes))
    const { slab, at } = this.#find(place)
    slab.words[at / 4] = holder
    slab.words[at / 4 + 1] = bytes
    slab.text.write(text, at + HEADER, bytes, 'utf8')
    return place
  }

  #find(place: number): { readonly slab: Slab; readonly at: number } {
    const slab = this.#slabs[Math.floor(place / UNITS)]
    if (slab === undefined) throw new Error(`bodies: place ${place} is not in use`)
    return { slab, at: (place % UNITS) * UNIT }
  }

  #takePlace(size: number): number {
    const isSmall = size <= MAX_SMALL
    let index = this.#current
    let slab = isSmall ? this.#slabs[index] : undefined
    if (slab === undefined || !slab.hasRoom(size)) {
      slab = isSmall ? this.#takeSpare() : new Slab(size)
      index = this.#add(slab)
      if (isSmall) this.#current = index
    }
    const at = slab.used
    slab.used += size
    this.#used += size
    return index * UNITS + at / UNIT
  }

  #takeSpare(): Slab {
    const slab = this.#spare ?? new Slab(SLAB_BYTES)
    this.#spare = undefined
    return slab
  }

  #add(slab: Slab): number {
    const index = this.#dropped.pop() ?? this.#slabs.length
    this.#slabs[index] = slab
    return index
  }

  #bury(index: number, size: number): void {
    const slab = this.#slabs[index]
    if (slab === undefined) return
    slab.dead += size
    this.#dead += size
    if (slab.dead === slab.used) this.#empty(slab, index)
    else if (this.#dead > IGNORED_BYTES && this.#dead * 5 > this.#used) this.#compact()
  }

  /** Drops a slab without live bodies, unless it is being filled. */
  #empty(slab: Slab, index: number): void {
    this.#used -= slab.used
    this.#dead -= slab.dead
    slab.used = 0
    slab.dead = 0
    if (index === this.#current) return
    this.#slabs[index] = undefined
    this.#dropped.push(index)
    if (slab.text.length === SLAB_BYTES) this.#spare ??= slab
  }

  /** Moves the live bodies of the slab with the most dead bytes. */
  #compact(): void {
    let index = -1
    for (const [each, slab] of this.#slabs.entries())
      if (each !== this.#current && (slab?.dead ?? 0) > (this.#slabs[index]?.dead ?? 0)) index = each
    const slab = this.#slabs[index]
    if (slab === undefined) return
    for (let at = 0; at < slab.used; ) {
      const size = sizeOf(slab.words[at / 4 + 1] ?? 0)
      this.#move(slab, at, { place: index * UNITS + at / UNIT, size })
      at += size
    }
    this.#dead += slab.used - slab.dead
    slab.dead = slab.used
    this.#empty(slab, index)
  }

  /** Copies a body with its header to another slab, if an entry holds it. */
  #move(from: Slab, at: number, { place, size }: { readonly place: number; readonly size: number }): void {
    const holder = from.words[at / 4] ?? 0
    const shared = this.#shared[-1 - holder]
    const isHeld = holder < 0 ? shared?.place === place : this.#isOwn(holder, place)
    if (!isHeld) return
    const moved = this.#takePlace(size)
    const to = this.#find(moved)
    from.text.copy(to.slab.text, to.at, at, at + size)
    if (shared === undefined) this.#rows.setInteger(holder, BODY, moved)
    else shared.place = moved
  }

  #isOwn(row: Row, place: number): boolean {
    const isOwn = (this.#rows.byte(row, FLAGS) & (KEPT | SHARED)) === KEPT
    return isOwn && this.#rows.integer(row, BODY) >>> 0 === place
  }
}
