import { useConnection, useNotification } from 'ara-client/react'
import { useCallback, useEffect, useState } from 'react'
import { ara, fetchLog, USER } from './ara.ts'

interface Item {
  readonly id: string
  readonly occurred_at: string
  readonly payload: { readonly order: number }
}

const READ = `read:${USER}`
const MAX_READ = 1_000

const loadRead = (): ReadonlySet<string> => new Set(JSON.parse(localStorage.getItem(READ) ?? '[]'))

/** Shipped orders, newest first: those of the log and those that arrive. This browser remembers which are read. */
export function useBell() {
  const [items, setItems] = useState<ReadonlyMap<string, Item>>(new Map())
  const [read, setRead] = useState(loadRead)
  const [error, setError] = useState<string>()
  const { state } = useConnection(ara)

  // By id: the log and the connection may bring the same notification.
  const add = useCallback((more: readonly Item[]) => {
    setItems(known => new Map([...known, ...more.map(item => [item.id, item] as const)]))
  }, [])

  useNotification(ara, 'order.shipped', notification => add([notification]))

  // Again after each reconnect: then the list is complete, even if the connection could not resume.
  useEffect(() => {
    if (state !== 'online') return
    const leaving = new AbortController()
    fetchLog(leaving.signal).then(
      log => {
        setError(undefined)
        add(log.filter(each => each.event_type === 'order.shipped') as Item[])
      },
      reason => leaving.signal.aborted || setError(String(reason)),
    )
    return () => leaving.abort()
  }, [state, add])

  const markRead = (id: string) => {
    const next = new Set([...read, id].slice(-MAX_READ))
    localStorage.setItem(READ, JSON.stringify([...next]))
    setRead(next)
  }

  // The newest is the last of its millisecond.
  const list = [...items.values()]
    .reverse()
    .sort((a, b) => b.occurred_at.localeCompare(a.occurred_at))
    .map(item => ({ ...item, isRead: read.has(item.id) }))
  return { list, unread: list.filter(({ isRead }) => !isRead).length, markRead, error }
}
