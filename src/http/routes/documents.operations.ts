import { type Operations, segmentOf } from '../openapi/operation.ts'

const NOT_MODIFIED = { 304: 'The copy that `If-None-Match` names is current' }

export const documentOperations: Operations = {
  'GET /': {
    id: 'getService',
    tag: 'Operating',
    description: 'Redirects to `/docs` when `Accept` names `text/html`.',
    answer: {
      status: 200,
      description: 'Name and version of the service',
      schema: 'Service',
      otherwise: { 302: 'To `/docs`' },
    },
    examples: {
      service: {
        summary: 'For programs',
        answer: { service: 'ara-notification-service', version: '1.0.0', docs: '/docs' },
      },
    },
  },
  'GET /openapi.json': {
    id: 'getDocument',
    tag: 'Operating',
    answer: {
      status: 200,
      description: 'This document',
      mediaType: 'application/json',
      otherwise: NOT_MODIFIED,
    },
    examples: {},
  },
  'GET /docs': {
    id: 'getPage',
    tag: 'Operating',
    answer: {
      status: 200,
      description: 'This document as a page',
      mediaType: 'text/html',
      otherwise: NOT_MODIFIED,
    },
    examples: {},
  },
  'GET /docs/:file': {
    id: 'getPartOfPage',
    tag: 'Operating',
    parameters: [segmentOf('file', 'A file that the page loads; its content never changes', '')],
    answer: { status: 200, description: 'A script or a style sheet', mediaType: 'text/*' },
    errors: ['NOT_FOUND'],
    examples: {},
  },
}
