import { readFileSync, statSync } from 'node:fs'
import { readdir } from 'node:fs/promises'

const DESCRIPTORS = '/proc/self/fd'

/** The soft limit of open files; undefined where the system does not say, or has none. */
export function descriptorLimit(): number | undefined {
  try {
    const [, digits] = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
    return digits === undefined ? undefined : Number(digits)
  } catch {
    return undefined
  }
}

/** Linux tells it as the size of the directory since 6.2, which needs no descriptor; 0 where it does not. */
export function countDescriptors(): number {
  try {
    return statSync(DESCRIPTORS).size
  } catch {
    return 0
  }
}

/** The same on older systems too: listing the directory takes milliseconds for many, so another thread does. */
export async function listDescriptors(): Promise<number> {
  try {
    return countDescriptors() || (await readdir(DESCRIPTORS)).length
  } catch {
    return 0
  }
}
