import { closeSync, openSync, readSync } from 'node:fs'
import { sendQueuesIn } from './proc-net.ts'
import type { QueuesRead } from './send-queues.ts'

declare const self: Worker

/** Tables for IPv4 and IPv6; a kernel without IPv6 lacks the second. */
const TABLES = ['/proc/net/tcp', '/proc/net/tcp6']
const CHUNK_BYTES = 1024 * 1024

/** Stays open, so that a process without free descriptors can still read. */
let tables: number[] = []

function openTables(): void {
  if (tables.length > 0) return
  const [first = '', ...others] = TABLES
  tables = [openSync(first, 'r')]
  for (const path of others) {
    try {
      tables.push(openSync(path, 'r'))
    } catch {
      // Without IPv6 the first table is complete.
    }
  }
}

function readTable(descriptor: number, chunk: Buffer): string {
  let text = ''
  let at = 0
  for (;;) {
    const read = readSync(descriptor, chunk, 0, chunk.length, at)
    if (read === 0) return text
    text += chunk.toString('latin1', 0, read)
    at += read
  }
}

function readQueues(localPort: number): QueuesRead {
  try {
    openTables()
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES)
    return { queues: tables.flatMap(table => sendQueuesIn(readTable(table, chunk), localPort)) }
  } catch (error) {
    for (const table of tables) closeSync(table)
    tables = []
    return { fault: error instanceof Error && 'code' in error ? String(error.code) : String(error) }
  }
}

self.onmessage = ({ data }: MessageEvent<number>) => self.postMessage(readQueues(data))
