import { NAME_RULES } from '../../protocol/names.ts'
import { limitOf, type Operations, segmentOf } from '../openapi/operation.ts'
import { MAX_BODY_BYTES, MAX_TEMPLATES } from './templates.ts'

const AT = '/api/v1/templates'

const creation = {
  id: 'inv_paid',
  name: 'Invoice paid',
  event_type: 'invoice.paid',
  payload_template: { text: 'No {{no}} for {{who}}', no: '{{{no}}}' },
  default_priority: 'Low',
  default_ttl: 60,
}
const template = {
  ...creation,
  created_at: '2026-01-02T03:04:05.678Z',
  updated_at: '2026-01-02T03:04:05.678Z',
}
const { default_ttl, ...withoutTtl } = template

const id = segmentOf('id', 'The id of a template', creation.id, NAME_RULES.templateId)

export const templateOperations: Operations = {
  [`POST ${AT}`]: {
    id: 'createTemplate',
    tag: 'Templates',
    body: { schema: 'TemplateCreation', maxBytes: MAX_BODY_BYTES },
    answer: { status: 201, description: 'The template', schema: 'Template' },
    errors: ['INVALID_ID', 'INVALID_TEMPLATE', 'TEMPLATE_EXISTS', 'STORE_UNAVAILABLE'],
    examples: {
      template: { summary: 'With a text and a number', body: creation, answer: template },
    },
  },
  [`GET ${AT}`]: {
    id: 'listTemplates',
    tag: 'Templates',
    description:
      'A page ends at `limit` or 1 MiB, whichever comes first. `next` is the `after` of the next page.',
    parameters: [
      {
        name: 'after',
        in: 'query',
        description: 'Id of a template: the list starts after it; without it at the first',
        schema: { type: 'string' },
        example: '',
      },
      limitOf(MAX_TEMPLATES, MAX_TEMPLATES),
    ],
    answer: { status: 200, description: 'Templates by id, in the order of code points', schema: 'Templates' },
    errors: ['STORE_UNAVAILABLE'],
    examples: { one: { summary: 'One template', answer: { templates: [template], total: 1 } } },
  },
  [`GET ${AT}/:id`]: {
    id: 'getTemplate',
    tag: 'Templates',
    parameters: [id],
    answer: { status: 200, description: 'The template', schema: 'Template' },
    errors: ['TEMPLATE_NOT_FOUND', 'STORE_UNAVAILABLE'],
    examples: { template: { summary: 'A template', answer: template } },
  },
  [`PUT ${AT}/:id`]: {
    id: 'changeTemplate',
    tag: 'Templates',
    description:
      'Absent fields keep their values. `null` removes `default_ttl` and `description`; other fields keep their values then too.',
    parameters: [id],
    body: { schema: 'TemplateChange', maxBytes: MAX_BODY_BYTES },
    answer: { status: 200, description: 'The changed template', schema: 'Template' },
    errors: ['INVALID_TEMPLATE', 'TEMPLATE_NOT_FOUND', 'STORE_UNAVAILABLE'],
    examples: {
      change: {
        summary: 'Another priority, no ttl',
        body: { default_priority: 'High', default_ttl: null },
        answer: { ...withoutTtl, default_priority: 'High', updated_at: '2026-01-02T03:05:00.000Z' },
      },
    },
  },
  [`DELETE ${AT}/:id`]: {
    id: 'deleteTemplate',
    tag: 'Templates',
    parameters: [id],
    answer: { status: 204, description: 'The template is deleted' },
    errors: ['TEMPLATE_NOT_FOUND', 'STORE_UNAVAILABLE'],
    examples: { deleted: { summary: 'Deleted' } },
  },
}
