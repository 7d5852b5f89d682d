import { useConnection, useNotification } from 'ara-client/react'
import { useCallback, useEffect, useState } from 'react'
import { ara, fetchLog } from './ara.ts'
import { useRead } from './read.ts'

interface Item {
  readonly id: string
  readonly occurred_at: string
  readonly payload: { readonly order: number }
}

type Loading =
  | { readonly state: 'loading' | 'loaded' }
  | { readonly state: 'failed'; readonly reason: string }

/** Shipped orders, newest first, from the log and from the connection. */
export function useBell() {
  const [items, setItems] = useState<ReadonlyMap<string, Item>>(new Map())
  const [loading, setLoading] = useState<Loading>({ state: 'loading' })
  const read = useRead()
  const { state } = useConnection(ara)

  // By id: the log and the connection may bring the same notification.
  const add = useCallback((more: readonly Item[]) => {
    setItems(known => new Map([...known, ...more.map(item => [item.id, item] as const)]))
  }, [])

  useNotification(ara, 'order.shipped', notification => add([notification]))

  const load = useCallback(
    (signal: AbortSignal) =>
      fetchLog(signal).then(
        log => {
          add(log.filter(each => each.event_type === 'order.shipped') as Item[])
          setLoading({ state: 'loaded' })
        },
        reason => signal.aborted || setLoading({ state: 'failed', reason: String(reason) }),
      ),
    [add],
  )

  // Again after each reconnect: then the list is complete, even if the connection could not resume.
  useEffect(() => {
    if (state !== 'online') return
    const leaving = new AbortController()
    void load(leaving.signal)
    return () => leaving.abort()
  }, [state, load])

  // The newest is the last of its millisecond.
  const list = [...items.values()]
    .reverse()
    .sort((a, b) => b.occurred_at.localeCompare(a.occurred_at))
    .map(item => ({ ...item, isRead: read.has(item.id) }))
  const retry = () => load(new AbortController().signal)
  return { list, unread: list.filter(({ isRead }) => !isRead).length, loading, retry }
}
