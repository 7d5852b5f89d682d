import { createClient, localCursor, type Notification } from 'ara-client'

export interface Events {
  'order.shipped': { order: number }
  'room.message': { room: string; from: string; text: string }
}

/** Replace this by the user of your session. */
export const USER = 'alice'

const url = import.meta.env.VITE_ARA_URL ?? 'http://localhost:8081'

async function fetchToken(): Promise<string> {
  const response = await fetch('/token')
  if (!response.ok) throw new Error(`/token answered ${response.status}`)
  return response.text()
}

/** One client for the whole app. It connects when the first component uses it. */
export const ara = createClient<Events>({ url, token: fetchToken, cursor: localCursor(`ara:${USER}`) })

/** Reads what the service keeps for the user, oldest first. */
export async function fetchLog(signal: AbortSignal): Promise<Notification<Events>[]> {
  const headers = { authorization: `Bearer ${await fetchToken()}` }
  const log: Notification<Events>[] = []
  for (let after = ''; ; ) {
    const response = await fetch(`${url}/api/v1/me/notifications?limit=1000${after}`, { headers, signal })
    if (!response.ok) throw new Error(`the log answered ${response.status}`)
    const { notifications, cursor, has_more } = await response.json()
    log.push(...notifications)
    if (!has_more) return log
    after = `&after=${encodeURIComponent(cursor)}`
  }
}
