import { useId, useState } from 'react'
import { markRead } from './read.ts'
import { useBell } from './useBell.ts'

export function Bell() {
  const { list, unread, loading, retry } = useBell()
  const [isOpen, setOpen] = useState(false)
  const panel = useId()
  // Until the list is loaded, nothing is known about it.
  const count = loading.state === 'loading' ? '' : `${unread} unread`

  return (
    <section>
      <button
        type="button"
        aria-label={`Notifications ${count}`}
        aria-expanded={isOpen}
        aria-controls={panel}
        onClick={() => setOpen(!isOpen)}
      >
        🔔 {count && unread > 0 && <span className="badge">{unread}</span>}
      </button>
      {/* Screen readers say it when it changes. */}
      <output className="spoken">{count}</output>
      <div id={panel} hidden={!isOpen}>
        {loading.state === 'loading' && <p>Loading…</p>}
        {loading.state === 'failed' && (
          <p role="alert">
            Not loaded: {loading.reason}{' '}
            <button type="button" onClick={retry}>
              Try again
            </button>
          </p>
        )}
        {loading.state === 'loaded' && list.length === 0 && <p>No notifications yet.</p>}
        <button
          type="button"
          aria-disabled={unread === 0}
          onClick={() => markRead(...list.map(({ id }) => id))}
        >
          Mark all as read
        </button>
        <ul aria-label="Notifications">
          {list.map(({ id, payload, isRead }) => (
            <li key={id}>
              <button type="button" className={isRead ? 'item' : 'item unread'} onClick={() => markRead(id)}>
                Order {payload.order} is on its way
                {!isRead && <span className="spoken">, unread</span>}
              </button>
            </li>
          ))}
        </ul>
      </div>
    </section>
  )
}
