import http, { type RefinedResponse } from 'k6/http'
import type { Inputs } from './inputs.ts'

/** Time limit of a request. */
const TIMEOUT = '10s'

type Response = RefinedResponse<'text'>

/** Calls the API as a backend does. `wait` blocks the virtual user, `post` does not. */
export function createApi({ apiUrl, apiKey }: Inputs) {
  const urlOf = (path: string) => `${apiUrl}/api/v1/notifications/${path}`
  const paramsOf = (path: string) => ({
    headers: { 'content-type': 'application/json', ...(apiKey && { 'x-api-key': apiKey }) },
    timeout: TIMEOUT,
    responseType: 'text' as const,
    tags: { name: `/${path}` },
  })
  return {
    post: (path: string, body: unknown): Promise<Response> =>
      http.asyncRequest('POST', urlOf(path), JSON.stringify(body), paramsOf(path)),
    wait: (path: string, body: unknown): Response =>
      http.post(urlOf(path), JSON.stringify(body), paramsOf(path)),
  }
}

export type Api = ReturnType<typeof createApi>

/** JSON object of a 200 answer, else undefined. */
export function resultOf({ status, body }: Response): Readonly<Record<string, unknown>> | undefined {
  if (status !== 200) return undefined
  try {
    const result: unknown = JSON.parse(body)
    return typeof result === 'object' && result !== null ? { ...result } : undefined
  } catch {
    return undefined
  }
}

/** True if the service accepted the send and reports its delivery. */
export const isTaken = (result: Readonly<Record<string, unknown>> | undefined): boolean =>
  typeof result?.['notification_id'] === 'string' &&
  ['delivered', 'partial', 'queued', 'no_recipient'].includes(String(result['status']))
