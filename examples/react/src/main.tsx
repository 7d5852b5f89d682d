import { useConnection } from 'ara-client/react'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { ara } from './ara.ts'
import { Bell } from './Bell.tsx'
import { Room } from './Room.tsx'

const LABELS = {
  idle: '',
  connecting: 'Connecting…',
  online: 'Online',
  waiting: 'Reconnecting…',
  closed: 'Not connected',
}

function Status() {
  const { state, error } = useConnection(ara)
  return (
    <output>
      {LABELS[state]} {error && `(${error.message})`}
    </output>
  )
}

const root = document.getElementById('root')
if (root === null) throw new Error('the page has no #root')
createRoot(root).render(
  <StrictMode>
    <Status />
    <Bell />
    <Room name="lobby" />
  </StrictMode>,
)
