import {
  Activity,
  Component,
  createElement,
  type ReactNode,
  StrictMode,
  Suspense,
  startTransition,
  use,
  useState,
} from 'react'
import { flushSync } from 'react-dom'
import { createRoot } from 'react-dom/client'
import { type Client, createClient } from '../../client/src/index.ts'
import { useChannel, useConnection, useNotification } from '../../client/src/react/index.ts'

type Events = { a: string; b: string }

interface Row {
  /** User of the client. */
  readonly user?: string | null
  readonly type: keyof Events
  readonly room?: string | null
  /** Name of this version of the handler. */
  readonly version: string
  readonly mode?: 'visible' | 'hidden'
  readonly isSuspended?: boolean
  /** `throw` fails, `clear` unmounts all rows at once, `wait` finishes at `release`. */
  readonly then?: 'throw' | 'clear' | 'wait'
}

/** Functions of the page that a test calls. */
interface Window {
  readonly location: { readonly origin: string }
  readonly document: { readonly body: Element }
  readonly tokenOf: (user: string) => () => Promise<string>
  readonly clients: { [user: string]: Client<Events> }
  readonly make: (user: string) => void
  /** `version:payload` for each call of a handler. */
  readonly noted: string[]
  /** Renders of all rows so far. */
  renders: number
  show: (...rows: readonly Row[]) => void
  readonly showSlowly: (...rows: readonly Row[]) => void
  readonly release: () => void
}

const gate = Promise.withResolvers<void>()
const page = Object.assign(globalThis as unknown as Window, {
  clients: {} as Window['clients'],
  noted: [] as string[],
  renders: 0,
  release: gate.resolve,
  make: (user: string) => {
    page.clients[user] = createClient({ url: page.location.origin, token: page.tokenOf(user) })
  },
  showSlowly: (...rows: readonly Row[]) => startTransition(() => page.show(...rows)),
})

function Shown({ user, type, room, version, isSuspended = false, ...row }: Row) {
  const client = user ? page.clients[user] : null
  page.renders++
  if (isSuspended) use(gate.promise)
  useChannel(client, room)
  useNotification(client, type, ({ payload }) => {
    page.noted.push(`${version}:${payload}`)
    if (row.then === 'throw') throw new Error(`thrown by ${version}`)
    if (row.then === 'clear') flushSync(() => page.show())
    return row.then === 'wait' ? gate.promise : undefined
  })
  return createElement('li', null, `${version} ${useConnection(client).state}`)
}

class Boundary extends Component<{ readonly children: ReactNode }> {
  override state = { isBroken: false }
  static getDerivedStateFromError() {
    return { isBroken: true }
  }
  override render() {
    return this.state.isBroken ? 'broken' : this.props.children
  }
}

function Page() {
  const [rows, setRows] = useState<readonly Row[]>([])
  page.show = (...next) => setRows(next)
  return rows.map(({ mode = 'visible', ...row }, n) => {
    const props = { mode, children: createElement(Shown, row) }
    return createElement(Activity, { key: n, ...props })
  })
}

createRoot(page.document.body).render(
  createElement(
    StrictMode,
    null,
    createElement(Boundary, null, createElement(Suspense, { fallback: 'loading' }, createElement(Page))),
  ),
)
