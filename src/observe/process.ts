import { readFileSync } from 'node:fs'
import { descriptorLimit, listDescriptors } from '../lib/system/descriptors.ts'

/** What the system says of this process; 0 where it does not say. Linux says it all. */
export interface ProcessFigures {
  readonly cpu: { readonly userSeconds: number; readonly systemSeconds: number }
  readonly residentBytes: number
  readonly virtualBytes: number
  readonly heapBytes: number
  readonly openDescriptors: number
  readonly maxDescriptors: number
  /** Seconds since 1970. */
  readonly startedAt: number
}

/** Files of `/proc` are memory of the kernel: reading one takes microseconds and waits for nothing. */
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
