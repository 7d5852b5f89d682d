import { readFileSync } from 'node:fs'
import { descriptorLimit, listDescriptors } from '../lib/system/descriptors.ts'

/** Figures of this process from the system; 0 if unknown. Linux knows all. */
export interface ProcessFigures {
  readonly cpu: { readonly userSeconds: number; readonly systemSeconds: number }
  readonly residentBytes: number
  readonly virtualBytes: number
  readonly heapBytes: number
  readonly openDescriptors: number
  readonly maxDescriptors: number
  /** Start of the process, seconds since 1970. */
  readonly startedAt: number
}

/** Reads a file of `/proc`, which is kernel memory: it takes microseconds and never blocks. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function numberIn(text: string, pattern: RegExp): number | undefined {
  const [, digits] = pattern.exec(text) ?? []
  return digits === undefined ? undefined : Number(digits)
}

const bytesIn = (status: string, pattern: RegExp): number => (numberIn(status, pattern) ?? 0) * 1024

export async function readProcess(): Promise<ProcessFigures> {
  const { user, system } = process.cpuUsage()
  const status = read('/proc/self/status')
  return {
    cpu: { userSeconds: user / 1e6, systemSeconds: system / 1e6 },
    residentBytes: process.memoryUsage.rss(),
    virtualBytes: bytesIn(status, /^VmSize:\s+(\d+) kB/m),
    heapBytes: bytesIn(status, /^VmData:\s+(\d+) kB/m),
    openDescriptors: await listDescriptors(),
    maxDescriptors: descriptorLimit() ?? 0,
    startedAt: performance.timeOrigin / 1000,
  }
}
