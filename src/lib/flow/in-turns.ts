/** Visits one portion of the items per turn of the event loop. A long list delays no other work. */
export async function inTurns<T>(
  items: Iterable<T>,
  visit: (item: T) => void,
  portion = 1_000,
): Promise<void> {
  let seen = 0
  for (const item of items) {
    if (seen > 0 && seen % portion === 0) await new Promise(setImmediate)
    seen++
    visit(item)
  }
}
