import { expect, test } from 'bun:test'
import { createElement } from 'react'
import { renderToString } from 'react-dom/server'
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

function Page() {
  useNotification(client, 'e', () => {})
  useChannel(client, 'room')
  return createElement('p', null, useConnection(client).state)
}

test('a server renders components with every hook, and connects nothing', () => {
  expect(renderToString(createElement(Page))).toBe('<p>idle</p>')
  expect([client.connection.state, asked]).toEqual(['idle', 0])
})
