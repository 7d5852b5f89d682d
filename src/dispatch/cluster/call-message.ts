/** A message between nodes: `kind origin id`, a line break, and a text. */
export interface CallMessage {
  /** A single word. */
  readonly kind: string
  /** Instance that sent it. */
  readonly origin: string
  readonly id: number
  readonly text: string
}

export const headOf = (kind: string, origin: string, id: number): string => `${kind} ${origin} ${id}`

export const messageOf = (head: string, text: string): string => `${head}\n${text}`

export function readMessage(message: string): CallMessage {
  const afterKind = message.indexOf(' ')
  const afterOrigin = message.indexOf(' ', afterKind + 1)
  const end = message.indexOf('\n')
  return {
    kind: message.slice(0, afterKind),
    origin: message.slice(afterKind + 1, afterOrigin),
    id: Number(message.slice(afterOrigin + 1, end)),
    text: message.slice(end + 1),
  }
}
