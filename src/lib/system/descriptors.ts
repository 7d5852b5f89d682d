import { readFileSync, statSync } from 'node:fs'
import { readdir } from 'node:fs/promises'

const DESCRIPTORS = '/proc/self/fd'

/** Soft limit of open files; undefined if unknown or unlimited. */
export function descriptorLimit(): number | undefined {
  try {
    const [, digits] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
    return digits === undefined ? undefined : Number(digits)
  } catch {
    return undefined
  }
}

/** Counts by the size of the directory (Linux 6.2 and later), without a descriptor; 0 if unknown. */
export function countDescriptors(): number {
  try {
    return statSync(DESCRIPTORS).size
  } catch {
    return 0
  }
}

/** Counts on older systems by listing the directory, in another thread since that takes milliseconds. */
export async function listDescriptors(): Promise<number> {
  try {
    return countDescriptors() || (await readdir(DESCRIPTORS)).length
  } catch {
    return 0
  }
}
