/** The first line of an error's message. */
export const errorLine = (error: unknown): string =>
  (error instanceof Error ? error.message.split('\n', 1)[0] : undefined) ?? 'unknown fault'
