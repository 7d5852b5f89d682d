import { readFileSync, statSync } from 'node:fs'
import { readdir } from 'node:fs/promises'

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

const DESCRIPTORS = '/proc/self/fd'

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

/** The soft limit of open files; undefined where the system does not say, or has none. */
export const descriptorLimit = (): number | undefined =>
  numberIn(read('/proc/self/limits'), /^Max open files\s+(\d+)/m)

/** Linux tells it as the size of the directory since 6.2; listing it takes milliseconds for many, so another thread does. */
async function openDescriptors(): Promise<number> {
  try {
    return statSync(DESCRIPTORS).size || (await readdir(DESCRIPTORS)).length
  } catch {
    return 0
  }
}

export async function readProcess(): Promise<ProcessFigures> {
  const { user, system } = process.cpuUsage()
  const status = read('/proc/self/status')
  return {
    cpu: { userSeconds: user / 1e6, systemSeconds: system / 1e6 },
    residentBytes: process.memoryUsage.rss(),
    virtualBytes: bytesIn(status, /^VmSize:\s+(\d+) kB/m),
    heapBytes: bytesIn(status, /^VmData:\s+(\d+) kB/m),
    openDescriptors: await openDescriptors(),
    maxDescriptors: descriptorLimit() ?? 0,
    startedAt: performance.timeOrigin / 1000,
  }
}
