import { availableParallelism } from 'node:os'
import * as v from 'valibot'
import type { BusUrl, StoreUrl } from './storage.ts'

const MAX_WORKERS = 256

/** Reads a number of processes; `auto` is the number of cores that this process may use. */
export const workers = v.pipe(
  v.string(),
  v.regex(/^(?:auto|\d{1,3})$/i),
  v.transform(text => (/^\d/.test(text) ? Number(text) : Math.min(availableParallelism(), MAX_WORKERS))),
  v.minValue(1),
  v.maxValue(MAX_WORKERS),
  v.metadata({ expected: `a whole number from 1 to ${MAX_WORKERS}, or auto` }),
)

interface Needs {
  readonly count: number
  readonly busUrl: BusUrl
  readonly storeUrl: StoreUrl
  readonly logEnabled: boolean
  readonly platform?: string
}

/** Returns what several processes need and the settings lack; undefined if they may start. */
export function workersFault({
  count,
  busUrl,
  storeUrl,
  logEnabled,
  platform = process.platform,
}: Needs): string | undefined {
  if (count === 1) return undefined
  if (platform !== 'linux') return '1, because several processes share a port on Linux only'
  const missing = [
    ...(busUrl.kind === 'redis' ? [] : ['BUS_URL=redis:']),
    ...(logEnabled && storeUrl.kind !== 'redis' ? ['STORE_URL=redis:'] : []),
  ]
  return missing.length === 0 ? undefined : `1, or ${missing.join(' and ')} for more than one process`
}
