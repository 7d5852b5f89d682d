export { createServerClient } from './client.ts'
export { type ApiErrorCode, AraError, type AraErrorCode, type ErrorDetail } from './error.ts'
export type {
  Audience,
  BatchItem,
  BatchItemResult,
  BatchOptions,
  BatchResult,
  CallOptions,
  DirectMessage,
  DisconnectOptions,
  DisconnectResult,
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
