import { expect, test } from 'bun:test'
import { join } from 'node:path'
import react from '@vitejs/plugin-react'
import { createServer } from 'vite'
import { startTestApp } from '../support/app.ts'
import { startBrowser } from '../support/browser.ts'
import { createProject } from '../support/project.ts'
import { eventually, publish, send } from '../support/visit.ts'

const TEST_MS = 60_000
const ROUNDS = ['A', 'B', 'C', 'D'] as const

const ARA = (url: string, token: string): string => `
import { createClient } from 'ara-client'
export const ara = createClient({ url: '${url}', token: () => '${token}' })
export const got = []
Object.assign(globalThis, { ara, got })`

/** A component whose file is edited: each version notes its name with what it receives. */
const ROOM = (version: string): string => `
import { useEffect, useState } from 'react'
import { useChannel, useConnection, useNotification } from 'ara-client/react'
import { ara, got } from './ara.js'
export function Room() {
  const [count, setCount] = useState(0)
  const { state } = useConnection(ara)
  useChannel(ara, 'room')
  useNotification(ara, 'e', ({ payload }) => {
    got.push('${version}' + payload)
    setCount(before => before + 1)
  })
  useEffect(() => {
    globalThis.used = ara
  })
  return <p>${version} {state} {count}</p>
}`

const MAIN = `
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { Room } from './Room.jsx'
createRoot(document.querySelector('div')).render(<StrictMode><Room /></StrictMode>)`

test(
  'edited components keep their state, and their newest code receives everything once over one connection',
  async () => {
    await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
    const client = ARA(service.url, await service.token('ann'))
    await using project = await createProject(
      {
        'index.html': '<!doctype html><body><div></div><script type="module" src="/main.jsx"></script>',
        'main.jsx': MAIN,
        'Room.jsx': ROOM('A'),
        'ara.js': client,
      },
      ['react', 'react-dom', 'scheduler'],
    )
    const vite = await createServer({
      root: project.folder,
      configFile: false,
      logLevel: 'error',
      plugins: [react()],
      // A dependency that is found later reloads the page.
      optimizeDeps: {
        include: ['react', 'react/jsx-dev-runtime', 'react-dom/client', 'ara-client', 'ara-client/react'],
      },
      // Watching may miss the second of two edits: the test tells of them.
      server: { host: '127.0.0.1', port: 0, watch: null },
    })
    await vite.listen()
    const edit = async (name: string, text: string) => {
      const file = join(project.folder, name)
      await Bun.write(file, text)
      vite.watcher.emit('change', file)
    }
    const [address = ''] = vite.resolvedUrls?.local ?? []
    const browser = await startBrowser({ host: 'unused', port: 1 })
    try {
      const page = await browser.newPage()
      let sockets = 0
      page.on('websocket', socket => {
        if (socket.url().startsWith(service.url.replace('http', 'ws'))) sockets++
      })
      await page.goto(address)
      const shows = (text: string) =>
        page.waitForFunction(`document.querySelector('p')?.textContent === ${JSON.stringify(text)}`)
      await shows('A online 0')
      const expected: string[] = []
      for (const [round, version] of ROUNDS.entries()) {
        if (round > 0) await edit('Room.jsx', ROOM(version))
        // Either version handles notifications that come during the change.
        await send(service, 'ann', `user${round}`)
        await shows(`${version} online ${2 * round + 1}`)
        await publish(service, 'room', `room${round}`)
        await shows(`${version} online ${2 * round + 2}`)
        expected.push(`user${round}`, `room${round}`)
        const got = (await page.evaluate('got')) as string[]
        expect(got.map(entry => entry.slice(1))).toEqual(expected)
        expect(got.at(-1)).toBe(`${version}room${round}`)
      }
      await edit('ara.js', `${client}\n`)
      await page.waitForFunction('got.length === 0 && used === ara')
      await page.evaluate('ara.ready()')
      await send(service, 'ann', 'another client')
      await shows(`D online ${2 * ROUNDS.length + 1}`)
      expect(await page.evaluate('got')).toEqual(['Danother client'])
      const presence = async () => (await service.get('/api/v1/users/ann/presence')).json.connections
      await eventually(async () => (await presence()) === 1)
      expect(sockets).toBe(1)
    } finally {
      await browser.close()
      await vite.close()
    }
  },
  TEST_MS,
)
