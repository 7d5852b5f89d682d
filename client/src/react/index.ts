'use client'

import { useCallback, useEffect, useInsertionEffect, useMemo, useRef, useSyncExternalStore } from 'react'
import type { Client, ConnectionState, Notification, TypeOf } from '../types.ts'

/** State without a client, for a server's render, and for the page's first render over it. */
const IDLE: ConnectionState = { state: 'idle' }

const nothing = () => {}

/** Returns the state of the connection, and renders again when it changes. Without a client it is `idle`. */
export function useConnection(
  client: Pick<Client, 'connection' | 'watch'> | null | undefined,
): ConnectionState {
  // Compared as text: the object also changes with channels, which do not concern the component.
  const text = useSyncExternalStore(
    useCallback(listener => client?.watch(listener) ?? nothing, [client]),
    () => JSON.stringify(client?.connection ?? IDLE),
    () => JSON.stringify(IDLE),
  )
  return useMemo(() => JSON.parse(text), [text])
}

/**
 * Calls the newest handler for each notification of the type, while the component is mounted. Memoizing the handler is
 * not necessary. Without a client it calls nothing.
 */
export function useNotification<Events extends object, Type extends TypeOf<Events>>(
  client: Pick<Client<Events>, 'on'> | null | undefined,
  type: Type,
  handler: (notification: Notification<Events, Type>) => unknown,
): void {
  const newest = useRef(handler)
  // As early as the new version is shown, so that no notification meets the old one.
  useInsertionEffect(() => {
    newest.current = handler
  })
  useEffect(() => {
    let isMounted = true
    // Another handler of the same notification may unmount this component.
    const off = client?.on(type, notification => isMounted && newest.current(notification))
    return () => {
      isMounted = false
      off?.()
    }
  }, [client, type])
}

/** Subscribes to a channel while the component is mounted; to none without a name or a client. */
export function useChannel(
  client: Pick<Client, 'subscribe'> | null | undefined,
  name: string | null | undefined,
): void {
  useEffect(() => (name ? client?.subscribe(name) : undefined), [client, name])
}
