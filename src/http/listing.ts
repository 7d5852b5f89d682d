import { inTurns } from '../lib/in-turns.ts'

/** The JSON text of a list, made a portion per turn, however long it is. */
export async function listText<T>(items: Iterable<T>, itemOf: (item: T) => unknown): Promise<string> {
  const texts: string[] = []
  await inTurns(items, item => texts.push(JSON.stringify(itemOf(item))))
  return `[${texts.join(',')}]`
}

/** An answer whose JSON text is made already. */
export const jsonAnswer = (text: string): Response =>
  new Response(text, { headers: { 'content-type': 'application/json' } })
