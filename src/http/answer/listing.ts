import { inTurns } from '../../lib/flow/in-turns.ts'

/** Builds the JSON text of a list, one portion per turn of the event loop. */
export async function listText<T>(items: Iterable<T>, itemOf: (item: T) => unknown): Promise<string> {
  const texts: string[] = []
  await inTurns(items, item => texts.push(JSON.stringify(itemOf(item))))
  return `[${texts.join(',')}]`
}

/** Adds `"partial":true` to the text of an object when a node did not answer. */
export const withPartial = (text: string, partial: true | undefined): string =>
  partial ? `${text.slice(0, -1)},"partial":true}` : text
