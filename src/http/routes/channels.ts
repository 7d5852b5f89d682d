import { Elysia } from 'elysia'
import type { Census } from '../../dispatch/census.ts'
import { AppError } from '../../errors.ts'
import { channelTopic } from '../../notification/topic.ts'
import { listText, withPartial } from '../answer/listing.ts'
import { createPageAnswers, keyOf } from '../answer/page-answers.ts'
import type { Callers } from '../request/caller.ts'
import { integerIn, queryOf, segment } from '../request/parameters.ts'

export const MAX_LISTED = 10_000

/** Routes of channels that have at least one subscriber. */
export function channelRoutes({ census, callers }: { readonly census: Census; readonly callers: Callers }) {
  const answerPage = createPageAnswers()
  const route = (summary: string) => ({ detail: { summary, security: [{ apiKey: [] }] } })

  return new Elysia({ name: 'channels', prefix: '/api/v1/channels' })
    .get(
      '',
      ({ request, server }) => {
        const query = queryOf(request.url, ['limit', 'after'])
        const limit = integerIn(query, 'limit', {
          least: 1,
          most: MAX_LISTED,
          otherwise: Number.POSITIVE_INFINITY,
        })
        const after = query.get('after') ?? ''
        const { tenant } = callers.of(request)
        return answerPage({ request, identity: keyOf(request), server }, async () => {
          const { channels, total, partial } = await census.channels(tenant, { after, limit })
          const list = await listText(channels, ({ name, subscribers }) => ({
            name,
            subscriber_count: subscribers,
          }))
          return withPartial(`{"channels":${list},"total_channels":${total}}`, partial)
        })
      },
      route('Lists channels with a subscriber'),
    )
    .get(
      '/:name',
      async ({ request, params }) => {
        const name = segment('name', params.name)
        const topic = channelTopic(callers.of(request).tenant, name)
        const { connections, partial } = await census.connections(topic)
        if (connections === 0 && !partial) throw new AppError('CHANNEL_NOT_FOUND')
        return { name, subscriber_count: connections, partial }
      },
      route('Gets a channel'),
    )
}
