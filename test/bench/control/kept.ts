const MAX_KEPT = 100

/** Keeps the last frames of each user. */
export function createKept(): (user: string, frame: string) => void {
  const kept = new Map<string, string[]>()
  return (user, frame) => {
    const list = kept.get(user) ?? []
    if (list.length === MAX_KEPT) list.shift()
    list.push(frame)
    kept.set(user, list)
  }
}
