import { HashIndex } from '../../lib/collections/hash-index.ts'
import { type Topic, tenantOf } from '../../notification/topic.ts'
import type { DeliveryReport, Recipient } from '../store.ts'
import { hashOf, Identity, mix } from './identity.ts'
import {
  APPENDED_AT,
  AT,
  ATTEMPTS,
  EXPIRES_AT,
  ID,
  LEAD,
  NEWER,
  NEXT,
  NONE,
  OCCURRED_AT,
  OLDER,
  RETAINED,
  type Row,
  type Rows,
  STATE,
} from './rows.ts'
import { nameOf } from './states.ts'

/**
 * Entries of each notification by id: retained ones, and for a while those that left their log. The entries of a
 * notification are a chain that starts at its lead, and are forgotten together.
 */
export class DeliveryReports {
  readonly #rows: Rows
  readonly #maxDeparted: number
  /** Random, so that no choice of user names makes hashes collide. */
  readonly #seed = Math.trunc(Math.random() * 2 ** 32)
  readonly #sought = new Identity()
  #soughtOwner: Topic | undefined
  readonly #leads = new HashIndex()
  /** Entries that are no lead, by id and owner. */
  readonly #followers = new HashIndex()
  /** Entries of notifications that left all logs. */
  #departed = 0
  /** Leads of these notifications. */
  #oldest: Row = NONE
  #newest: Row = NONE
  /** Last entry created: the end of the chain that grows. */
  #created: Row = NONE

  readonly #isSought = (row: Row): boolean => {
    const { words } = this.#sought
    for (let word = 0; word < words.length; word++)
      if (this.#rows.integer(row, ID + word) !== words[word]) return false
    return true
  }

  readonly #isOfSoughtOwner = (row: Row): boolean =>
    this.#rows.owner(row) === this.#soughtOwner && this.#isSought(row)

  /** `maxDeparted`: how many entries stay known after their notification left all logs. */
  constructor(rows: Rows, maxDeparted: number) {
    this.#rows = rows
    this.#maxDeparted = maxDeparted
  }

  /** The entry of this user, retained or not; NONE if it is not known. */
  entryOf(id: string, owner: Topic): Row {
    const lead = this.#leadOf(id)
    if (lead === NONE || this.#rows.owner(lead) === owner) return lead
    if (this.#rows.integer(lead, NEXT) === NONE) return NONE
    this.#soughtOwner = owner
    return this.#followers.find(this.#followerHash(this.#sought.hash, owner), this.#isOfSoughtOwner)
  }

  /** Adds an entry that a log retains. An entry that is known keeps its place among the recipients. */
  add(id: string, owner: Topic, eventType: string): Row {
    const known = this.entryOf(id, owner)
    if (known === NONE) return this.#create(owner, eventType)
    this.#retain(this.#rows.integer(known, LEAD))
    return known
  }

  /** Notes that an entry left its log. May release its row. */
  left(row: Row): void {
    const rows = this.#rows
    const lead = rows.integer(row, LEAD)
    const retained = rows.integer(lead, RETAINED) - 1
    rows.setInteger(lead, RETAINED, retained)
    if (retained > 0) return
    this.#link(lead)
    while (this.#departed > this.#maxDeparted) this.#forget(this.#oldest)
  }

  /** Forgets the notifications in a block of rows that left all logs and were appended before that moment. */
  forgetBefore(moment: number, block: number): void {
    this.#rows.visitDeparted(block, lead => {
      if (this.#rows.double(lead, APPENDED_AT) < moment) this.#forget(lead)
    })
  }

  find(
    tenant: string,
    id: string,
    { after, limit }: { readonly after?: Topic; readonly limit: number },
  ): DeliveryReport | undefined {
    const rows = this.#rows
    const lead = this.#leadOf(id)
    const first = rows.owner(lead)
    if (first === undefined || tenantOf(first) !== tenant) return undefined
    let row = lead
    if (after !== undefined) {
      while (row !== NONE && rows.owner(row) !== after) row = rows.integer(row, NEXT)
      row = rows.integer(row, NEXT)
    }
    const recipients: Recipient[] = []
    for (; recipients.length < limit; row = rows.integer(row, NEXT)) {
      const owner = rows.owner(row)
      if (owner === undefined) break
      const [attempts, at] = [rows.integer(row, ATTEMPTS), rows.double(row, AT)]
      recipients.push({ owner, state: nameOf(rows.byte(row, STATE)), attempts, at })
    }
    const expiresAt = rows.double(lead, EXPIRES_AT)
    return {
      id,
      eventType: rows.eventType(lead),
      occurredAt: rows.double(lead, OCCURRED_AT),
      ...(Number.isFinite(expiresAt) && { expiresAt }),
      recipients,
    }
  }

  #leadOf(id: string): Row {
    this.#sought.read(id)
    return this.#leads.find(this.#sought.hash, this.#isSought)
  }

  #followerHash(hash: number, owner: Topic): number {
    return mix(hash, Bun.hash.xxHash32(owner, this.#seed))
  }

  /** Creates the entry of the id that was sought last. */
  #create(owner: Topic, eventType: string): Row {
    const rows = this.#rows
    const { words, hash } = this.#sought
    const lead = this.#leads.find(hash, this.#isSought)
    const row = rows.take(owner, eventType)
    for (let word = 0; word < words.length; word++) rows.setInteger(row, ID + word, words[word] ?? 0)
    rows.setInteger(row, NEXT, NONE)
    if (lead === NONE) {
      rows.setInteger(row, LEAD, row)
      rows.setInteger(row, RETAINED, 1)
      this.#leads.add(hash, row)
    } else {
      // First, because it counts the entries of a notification that left all logs.
      this.#retain(lead)
      rows.setInteger(row, LEAD, lead)
      rows.setInteger(this.#lastOf(lead), NEXT, row)
      this.#followers.add(this.#followerHash(hash, owner), row)
    }
    this.#created = row
    return row
  }

  #lastOf(lead: Row): Row {
    const rows = this.#rows
    let last = rows.integer(this.#created, LEAD) === lead ? this.#created : lead
    for (let next = rows.integer(last, NEXT); next !== NONE; next = rows.integer(last, NEXT)) last = next
    return last
  }

  #retain(lead: Row): void {
    const retained = this.#rows.integer(lead, RETAINED)
    if (retained === 0) this.#unlink(lead)
    this.#rows.setInteger(lead, RETAINED, retained + 1)
  }

  #forget(lead: Row): void {
    const rows = this.#rows
    this.#unlink(lead)
    const hash = hashOf(word => rows.integer(lead, ID + word))
    this.#leads.remove(hash, lead)
    for (let row = lead; row !== NONE; ) {
      const next = rows.integer(row, NEXT)
      const owner = rows.owner(row)
      if (row !== lead && owner !== undefined) this.#followers.remove(this.#followerHash(hash, owner), row)
      rows.release(row)
      row = next
    }
  }

  /** Adds a lead to the notifications that left all logs. */
  #link(lead: Row): void {
    const rows = this.#rows
    this.#departed += this.#countOf(lead)
    rows.setInteger(lead, OLDER, this.#newest)
    rows.setInteger(lead, NEWER, NONE)
    if (this.#newest === NONE) this.#oldest = lead
    else rows.setInteger(this.#newest, NEWER, lead)
    this.#newest = lead
  }

  #unlink(lead: Row): void {
    const rows = this.#rows
    this.#departed -= this.#countOf(lead)
    const older = rows.integer(lead, OLDER)
    const newer = rows.integer(lead, NEWER)
    if (older === NONE) this.#oldest = newer
    else rows.setInteger(older, NEWER, newer)
    if (newer === NONE) this.#newest = older
    else rows.setInteger(newer, OLDER, older)
  }

  #countOf(lead: Row): number {
    let count = 0
    for (let row = lead; row !== NONE; row = this.#rows.integer(row, NEXT)) count++
    return count
  }
}
