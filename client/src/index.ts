export { createClient } from './client.ts'
export { localCursor } from './cursor.ts'
export type {
  Client,
  ClientOptions,
  Clock,
  ConnectionState,
  CursorStore,
  Fault,
  Fetch,
  Gap,
  Metadata,
  Notification,
  Socket,
  TypeOf,
} from './types.ts'
