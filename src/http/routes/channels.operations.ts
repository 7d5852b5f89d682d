import { NAME_RULES } from '../../protocol/names.ts'
import { limitOf, type Operations, segmentOf } from '../openapi/operation.ts'
import { MAX_LISTED } from './channels.ts'

export const channelOperations: Operations = {
  'GET /api/v1/channels': {
    id: 'listChannels',
    tag: 'Looking up',
    parameters: [
      {
        name: 'after',
        in: 'query',
        description: 'Name of a channel: the list starts after it',
        schema: { type: 'string' },
        example: '',
      },
      limitOf(MAX_LISTED),
    ],
    answer: { status: 200, description: 'Channels with a subscriber, by name', schema: 'Channels' },
    examples: {
      two: {
        summary: 'Two channels',
        answer: {
          channels: [
            { name: 'orders', subscriber_count: 2 },
            { name: 'system', subscriber_count: 1 },
          ],
          total_channels: 2,
        },
      },
    },
  },
  'GET /api/v1/channels/:name': {
    id: 'getChannel',
    tag: 'Looking up',
    parameters: [segmentOf('name', 'Name of a channel', 'orders', NAME_RULES.channel)],
    answer: {
      status: 200,
      description: 'The channel; `subscriber_count` counts connections, not users',
      schema: 'Channel',
    },
    errors: ['CHANNEL_NOT_FOUND'],
    examples: { channel: { summary: 'Two subscribers', answer: { name: 'orders', subscriber_count: 2 } } },
  },
}
