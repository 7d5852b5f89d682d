import type { Environment } from '../config/config.ts'
import { urlOf } from './address.ts'
import { callApi } from './api.ts'
import type { Arguments } from './options.ts'

const DEADLINE_MS = 3_000

/** `health`: succeeds silently while the service lives; serves as the container's health check. */
export async function checkAlive(args: Arguments, env: Environment): Promise<number> {
  const url = urlOf(args, env, 'health')
  const { status, body } = await callApi(url, '/health/live', { signal: AbortSignal.timeout(DEADLINE_MS) })
  if (status === 200 && body?.['status'] === 'alive') return 0
  throw new Error(`another program answers at ${url} (HTTP ${status}): correct SERVER_PORT or --url`)
}
