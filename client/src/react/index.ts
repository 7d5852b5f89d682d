'use client'

import { useEffect, useInsertionEffect, useRef, useSyncExternalStore } from 'react'
import type { Client, ConnectionState, Notification, TypeOf } from '../types.ts'

/** State for a server's render, and for the page's first render over it. */
const IDLE: ConnectionState = { state: 'idle' }

/** The state of the connection; renders again when it changes. */
export function useConnection(client: Pick<Client, 'connection' | 'watch'>): ConnectionState {
  return useSyncExternalStore(
    client.watch,
    () => client.connection,
    () => IDLE,
  )
}

/** Calls the newest handler for each notification of the type, while the component is mounted. */
export function useNotification<Events extends object, Type extends TypeOf<Events>>(
  client: Pick<Client<Events>, 'on'>,
  type: Type,
  handler: (notification: Notification<Events, Type>) => unknown,
): void {
  const newest = useRef(handler)
  // As early as the new version is shown, so that no notification meets the old one.
  useInsertionEffect(() => {
    newest.current = handler
  })
  useEffect(() => client.on(type, notification => newest.current(notification)), [client, type])
}

/** Subscribes to a channel while the component is mounted; to none without a name. */
export function useChannel(client: Pick<Client, 'subscribe'>, name: string | null | undefined): void {
  useEffect(() => (name ? client.subscribe(name) : undefined), [client, name])
}
