import { expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startTestApp, type TestApp } from '../support/app.ts'
import { frameOf } from '../support/raw-socket.ts'
import { eventually } from '../support/visit.ts'

const TEXT = 1
const UPGRADE = [
  'Host: 127.0.0.1',
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
]

/** The answer to an upgrade and these messages, all sent in one packet. */
async function sendAtOnce(app: TestApp, messages: readonly string[], query = ''): Promise<() => string> {
  let text = ''
  const socket = await Bun.connect({
    hostname: '127.0.0.1',
    port: app.port,
    socket: {
      data: (_, chunk) => {
        text += chunk.toString('latin1')
      },
    },
  })
  const head = `GET /ws?token=${await app.token('u')}${query} HTTP/1.1\r\n${UPGRADE.join('\r\n')}\r\n\r\n`
  socket.write(
    Buffer.concat([Buffer.from(head), ...messages.map(message => frameOf(TEXT, Buffer.from(message)))]),
  )
  return () => text
}

for (const store of ['no log', 'memory:', 'sqlite:'])
  test(`messages in the same packet as the upgrade are answered (${store})`, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'early-'))
    {
      await using app = await startTestApp(
        store === 'no log'
          ? {}
          : { QUEUE_ENABLED: 'true', STORE_URL: store === 'sqlite:' ? `sqlite:${folder}/store.db` : store },
      )
      for (const query of ['', '&cursor=']) {
        const text = await sendAtOnce(
          app,
          ['{"type":"Ping"}', '{"type":"Subscribe","payload":{"channels":["c"]}}'],
          query,
        )
        await eventually(() => text().includes('"subscribed"'))
        expect(text()).toStartWith('HTTP/1.1 101 ')
        expect(text()).toContain('{"type":"pong"}')
      }
    }
    await rm(folder, { recursive: true })
  })
