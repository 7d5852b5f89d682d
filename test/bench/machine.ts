import { readFileSync } from 'node:fs'

const LOOK_MS = 200
const TICKS_PER_SECOND = 100

/** Busy ticks of all cores since the start of the system. */
function busyTicks(): number {
  const [all = ''] = readFileSync('/proc/stat', 'utf8').split('\n', 1)
  const [user = 0, nice = 0, system = 0, , , irq = 0, softIrq = 0] = all.split(/\s+/).slice(1).map(Number)
  return user + nice + system + irq + softIrq
}

/** Cores that other programs use while the bench is idle. A bench beside other work must say so. */
export async function coresInUse(): Promise<number> {
  const before = busyTicks()
  await Bun.sleep(LOOK_MS)
  return ((busyTicks() - before) * 1000) / (TICKS_PER_SECOND * LOOK_MS)
}
