import { expect, test } from 'bun:test'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { createElement, type ReactNode, StrictMode } from 'react'
import { renderToPipeableStream, renderToString } from 'react-dom/server'
import { createClient } from '../../client/src/index.ts'
import { useChannel, useConnection, useNotification } from '../../client/src/react/index.ts'

let asked = 0
const client = createClient({
  url: 'http://127.0.0.1:9',
  token: () => {
    asked++
    return ''
  },
})

function Page({ ara }: { readonly ara: typeof client | null }) {
  useNotification(ara, 'e', () => {})
  useChannel(ara, 'room')
  return createElement('p', null, useConnection(ara).state)
}

const streamed = (element: ReactNode): Promise<string> => {
  const output = new PassThrough()
  const html = text(output)
  renderToPipeableStream(element).pipe(output)
  return html
}

test.each([
  ['a client', client],
  ['no client', null],
])(
  'with %s a server renders components with every hook, at once or as a stream, and connects nothing',
  async (_, ara) => {
    const element = createElement(StrictMode, null, createElement(Page, { ara }))
    expect([renderToString(element), await streamed(element)]).toEqual(['<p>idle</p>', '<p>idle</p>'])
    expect([client.connection.state, asked]).toEqual(['idle', 0])
  },
)
