/** The topics of siblings, in both directions. */
export interface TopicIndex<P extends { readonly topics: Set<string> }> {
  add(peer: P, topic: string): void
  remove(peer: P, topic: string): void
  removeAll(peer: P): void
  /** Siblings that joined the topic; undefined if none did. */
  of(topic: string): ReadonlySet<P> | undefined
}

export function createTopicIndex<P extends { readonly topics: Set<string> }>(): TopicIndex<P> {
  const peersOf = new Map<string, Set<P>>()

  const remove = (peer: P, topic: string): void => {
    peer.topics.delete(topic)
    const joined = peersOf.get(topic)
    if (joined?.delete(peer) && joined.size === 0) peersOf.delete(topic)
  }

  return {
    add: (peer, topic) => {
      peer.topics.add(topic)
      const joined = peersOf.get(topic)
      if (joined === undefined) peersOf.set(topic, new Set([peer]))
      else joined.add(peer)
    },
    remove,
    removeAll: peer => {
      for (const topic of peer.topics) remove(peer, topic)
    },
    of: topic => peersOf.get(topic),
  }
}
