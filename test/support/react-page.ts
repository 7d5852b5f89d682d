import { createElement, StrictMode, useState } from 'react'
import { createRoot, hydrateRoot } from 'react-dom/client'
import type { Client } from '../../client/src/index.ts'
import { useChannel, useConnection, useNotification } from '../../client/src/react/index.ts'

/** Functions of the page that a test calls. */
interface Window {
  readonly ara: Client<{ e: unknown }>
  readonly take: (what: { readonly payload: unknown }) => void
  readonly document: { readonly body: Element & { innerHTML: string } }
  /** Renders as many rows, of a new version each time. */
  show?: (rows: number) => void
  unmount?: () => void
}

const page = globalThis as unknown as Window

function Row({ n, version }: { readonly n: number; readonly version: number }) {
  useNotification(page.ara, 'e', ({ payload }) => page.take({ payload: `${n}:${version}:${payload}` }))
  useChannel(page.ara, 'room')
  return createElement('li', null, `${version} ${useConnection(page.ara).state}`)
}

function Page() {
  const [{ rows, version }, set] = useState({ rows: 0, version: 0 })
  page.show = next => set(before => ({ rows: next, version: before.version + 1 }))
  const list = Array.from({ length: rows }, (_, n) => createElement(Row, { key: n, n, version }))
  return createElement('ul', null, useConnection(page.ara).state, list)
}

const element = createElement(StrictMode, null, createElement(Page))
const { body } = page.document
const isRendered = body.innerHTML.includes('<ul>')
const root = isRendered ? hydrateRoot(body, element) : createRoot(body)
if (!isRendered) root.render(element)
page.unmount = () => root.unmount()
