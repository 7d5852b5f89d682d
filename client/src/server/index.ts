export { createServerClient } from './client.ts'
export { AraError, type ErrorDetail } from './error.ts'
export type {
  Audience,
  BatchItem,
  BatchItemResult,
  BatchOptions,
  BatchResult,
  DirectMessage,
  Message,
  MessageOptions,
  SendResult,
  SendStatus,
  ServerClient,
  ServerOptions,
  Target,
  TemplateMessage,
  TokenOptions,
} from './types.ts'
