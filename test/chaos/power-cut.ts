import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Random } from '../support/random.ts'

/** File operations of a process below one folder, and its answers, in order. Read from a trace of its system calls. */
export type Act =
  | { readonly type: 'write'; readonly file: string; readonly at: number; readonly bytes: Buffer }
  | { readonly type: 'truncate'; readonly file: string; readonly size: number }
  | { readonly type: 'remove'; readonly file: string }
  /** All writes to the file so far are on the disk. */
  | { readonly type: 'sync'; readonly file: string }
  /** A send got a 2xx answer. */
  | { readonly type: 'answer'; readonly id: string }

/** System calls that strace records for `readTrace`: with paths (-y), hexadecimal bytes (-xx) and full length (-s). */
export const CALLS =
  'trace=pwrite64,pwritev,write,writev,sendto,sendmsg,ftruncate,truncate,unlink,unlinkat,rename,renameat,renameat2,fsync,fdatasync'

const RESUMED = /^(\d+)\s+<\.\.\. (\w+) resumed>(.*)$/
const UNFINISHED = /^(\d+)\s+(.*) <unfinished \.\.\.>$/
const DONE = /^(\d+)\s+(\w+)\((.*)\)\s+= (-?\d+)/
const WRITE = /^\d+<([^>]*)>, "((?:\\x[0-9a-f]{2})*)", \d+, (\d+)$/
const TRUNCATE = /^\d+<([^>]*)>, (\d+)$/
const SYNC = /^\d+<([^>]*)>$/
const DESCRIBED = /^\d+<([^>]*)>/
const NAMED = /"((?:\\x[0-9a-f]{2})*)"/g
const ANSWERED = /HTTP\/1\.1 200[\s\S]*"notification_id":"([0-9a-f-]{36})"/

/** -xx prints everything in hexadecimal, including paths. */
const bytesOf = (text: string): Buffer => Buffer.from(text.replaceAll('\\x', ''), 'hex')
const textOf = (text: string): string => bytesOf(text).toString()

/** Joins calls that strace prints in two lines. They count at their end, the safe side for a write and for a sync. */
function* wholeLines(trace: string): Generator<string> {
  const begun = new Map<string, string>()
  for (const line of trace.split('\n')) {
    const [, pid = '', start] = UNFINISHED.exec(line) ?? []
    const [, resumed = '', , rest = ''] = RESUMED.exec(line) ?? []
    if (start !== undefined) begun.set(pid, start)
    else if (resumed !== '') yield `${resumed} ${begun.get(resumed) ?? ''}${rest}`
    else yield line
  }
}

function actOf(call: string, given: string, below: string): Act | undefined {
  const isOurs = (file: string) => file.startsWith(below)
  if (call === 'pwrite64') {
    const [, path = '', hex = '', at = ''] = WRITE.exec(given) ?? []
    const file = textOf(path)
    return isOurs(file) ? { type: 'write', file, at: Number(at), bytes: bytesOf(hex) } : undefined
  }
  if (call === 'ftruncate') {
    const [, path = '', size = ''] = TRUNCATE.exec(given) ?? []
    const file = textOf(path)
    return isOurs(file) ? { type: 'truncate', file, size: Number(size) } : undefined
  }
  if (call === 'fsync' || call === 'fdatasync') {
    const [, path = ''] = SYNC.exec(given) ?? []
    const file = textOf(path)
    return isOurs(file) ? { type: 'sync', file } : undefined
  }
  const names = [...given.matchAll(NAMED)].map(([, hex = '']) => textOf(hex))
  if (call.startsWith('unlink')) {
    const file = names[0] ?? ''
    return isOurs(file) ? { type: 'remove', file } : undefined
  }
  const [, id] = ANSWERED.exec(names.join('')) ?? []
  if (id !== undefined) return { type: 'answer', id }
  // An unknown call that writes to our files would be missing from the images.
  if (isOurs(textOf(DESCRIBED.exec(given)?.[1] ?? '')) || names.some(isOurs))
    throw new Error(`not understood: ${call}`)
  return undefined
}

export function readTrace(trace: string, below: string): readonly Act[] {
  const acts: Act[] = []
  for (const line of wholeLines(trace)) {
    const [, , call = '', given = '', result = '-1'] = DONE.exec(line) ?? []
    const act = Number(result) < 0 ? undefined : actOf(call, given, below)
    if (act !== undefined) acts.push(act)
  }
  return acts
}

type Change = Extract<Act, { readonly type: 'write' | 'truncate' }>

function applied(content: Buffer, change: Change): Buffer {
  if (change.type === 'truncate') {
    const cut = content.subarray(0, change.size)
    return change.size > cut.length
      ? Buffer.concat([cut, Buffer.alloc(change.size - cut.length)])
      : Buffer.from(cut)
  }
  const end = change.at + change.bytes.length
  const grown = end > content.length ? Buffer.concat([content, Buffer.alloc(end - content.length)]) : content
  change.bytes.copy(grown, change.at)
  return grown
}

/** A disk: the content of each file that is safe, and later writes that may be lost. */
export class Disk {
  readonly #safe = new Map<string, Buffer>()
  readonly #pending = new Map<string, Change[]>()
  readonly answered = new Set<string>()

  take(act: Act): void {
    switch (act.type) {
      case 'answer':
        this.answered.add(act.id)
        return
      case 'remove':
        this.#safe.delete(act.file)
        this.#pending.delete(act.file)
        return
      case 'sync': {
        const changes = this.#pending.get(act.file) ?? []
        this.#safe.set(act.file, changes.reduce(applied, this.#safe.get(act.file) ?? Buffer.alloc(0)))
        this.#pending.delete(act.file)
        return
      }
      default:
        this.#pending.set(act.file, [...(this.#pending.get(act.file) ?? []), act])
    }
  }

  /** Writes the files as they are after a power cut. `isKept` decides which unsynced writes survived. */
  image(directory: string, below: string, isKept: () => boolean): void {
    mkdirSync(directory, { recursive: true })
    for (const file of new Set([...this.#safe.keys(), ...this.#pending.keys()])) {
      const changes = (this.#pending.get(file) ?? []).filter(isKept)
      // A copy, because a change is applied in place.
      const content = changes.reduce(applied, Buffer.from(this.#safe.get(file) ?? Buffer.alloc(0)))
      writeFileSync(join(directory, file.slice(below.length)), content)
    }
  }
}

/** Keeps no unsynced write, all of them, or each by chance. */
export const luck = (random: Random): (() => boolean) =>
  random.pick([() => false, () => true, () => random.chance(0.5)])
