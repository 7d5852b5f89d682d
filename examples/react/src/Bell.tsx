import { useState } from 'react'
import { useBell } from './useBell.ts'

export function Bell() {
  const { list, unread, markRead, error } = useBell()
  const [isOpen, setOpen] = useState(false)
  return (
    <section>
      <button type="button" aria-expanded={isOpen} onClick={() => setOpen(!isOpen)}>
        🔔 <output aria-label="Unread">{unread}</output>
      </button>
      {error && <p role="alert">{error}</p>}
      {isOpen && list.length === 0 && <p>No notifications yet.</p>}
      {isOpen && (
        <ul aria-label="Notifications">
          {list.map(({ id, payload, isRead }) => (
            <li key={id}>
              <button type="button" onClick={() => markRead(id)} disabled={isRead}>
                Order {payload.order} is on its way
              </button>
            </li>
          ))}
        </ul>
      )}
    </section>
  )
}
