import { Elysia } from 'elysia'
import type { Log } from '../store/store.ts'
import type { ClientOf } from './client.ts'
import { historyOf } from './history.ts'

interface MeOptions {
  /** Absent when it is off. */
  readonly log: Log | undefined
  readonly clientOf: ClientOf
}

/** What clients ask about themselves, by their token. */
export const meRoutes = ({ log, clientOf }: MeOptions) =>
  new Elysia({ name: 'me', prefix: '/api/v1/me' }).get(
    '/notifications',
    async ({ request, set }) =>
      historyOf(log, await clientOf(request, set.headers as Record<string, string | number>), request.url),
    { detail: { summary: 'What the log of the client holds', security: [{ token: [] }] } },
  )
