import type { SurvivingClient } from './survival.ts'

/** Resolves when the socket has closed. Answers by the returned packets. */
function converse(url: string, hear: (text: string) => string | undefined): Promise<void> {
  const socket = new WebSocket(url)
  socket.onmessage = ({ data }) => {
    const packet = hear(String(data))
    if (packet !== undefined) socket.send(packet)
  }
  return new Promise(resolve => {
    socket.onclose = () => resolve()
  })
}

/** Client that resumes by the cursor of its last notification. */
export function cursorClient(): SurvivingClient {
  let cursor = ''
  return {
    visit: (port, token, hear) =>
      converse(`ws://127.0.0.1:${port}/ws?token=${token}&cursor=${encodeURIComponent(cursor)}`, text => {
        const message = JSON.parse(text)
        if (message.type !== 'notification') return undefined
        cursor = message.cursor
        hear(message.payload.number)
        return undefined
      }),
  }
}

/** Client of Engine.IO 4 that uses the connection state recovery of Socket.IO. */
export function recoveringClient(): SurvivingClient {
  let pid: string | undefined
  let offset: string | undefined
  return {
    visit: (port, token, hear) =>
      converse(`ws://127.0.0.1:${port}/socket.io/?EIO=4&transport=websocket&token=${token}`, text => {
        if (text.startsWith('0')) return `40${JSON.stringify({ pid, offset })}`
        if (text.startsWith('2')) return '3'
        if (text.startsWith('40')) pid = JSON.parse(text.slice(2)).pid
        if (!text.startsWith('42')) return undefined
        const [, notification, at] = JSON.parse(text.slice(2))
        offset = at ?? offset
        hear(notification.payload.number)
        return undefined
      }),
  }
}
