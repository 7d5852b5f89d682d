/** The part of Elysia's context that opens a connection, or the context of a straight route. */
export interface SocketContext {
  readonly request: Request
  /** The runtime's server; null before it listens. */
  readonly server: unknown
  readonly set: { status?: number | string; readonly headers: Record<string, string | number> }
  /** Headers of the answer besides those of `set`; absent in Elysia's context. */
  readonly common?: Headers
}

/** Options of a route that opens connections. Straight: the handler is called without Elysia. */
export const socketRoute = (summary: string) => ({
  parse: 'none' as const,
  detail: { summary, security: [{ token: [] }], 'x-socket': true, 'x-straight': true } as object,
})
