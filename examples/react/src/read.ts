import { useSyncExternalStore } from 'react'
import { USER } from './ara.ts'

const KEY = `read:${USER}`
const MAX_READ = 1_000

let text = ''
let ids: ReadonlySet<string> = new Set()

/** Ids of notifications that are read in this browser; the same object until they change. */
function load(): ReadonlySet<string> {
  const stored = localStorage.getItem(KEY) ?? '[]'
  if (stored !== text) {
    text = stored
    ids = new Set(JSON.parse(stored))
  }
  return ids
}

const listeners = new Set<() => void>()
const notify = () => {
  for (const listener of listeners) listener()
}

function watch(listener: () => void): () => void {
  listeners.add(listener)
  // Another tab has read something.
  addEventListener('storage', listener)
  return () => {
    listeners.delete(listener)
    removeEventListener('storage', listener)
  }
}

/** Marks notifications as read, in all tabs. */
export function markRead(...more: readonly string[]): void {
  localStorage.setItem(KEY, JSON.stringify([...new Set([...load(), ...more])].slice(-MAX_READ)))
  notify()
}

export const useRead = (): ReadonlySet<string> => useSyncExternalStore(watch, load)
