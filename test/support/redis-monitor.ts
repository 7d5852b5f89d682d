import { connect } from 'node:net'

export interface RedisMonitor extends Disposable {
  /** Commands of clients so far, in order, without those of scripts: `['set', 'key', 'value']`. */
  readonly commands: readonly (readonly string[])[]
}

const LINE = /^\+[\d.]+ \[\d+ (\S+)\] (.*)$/
const WORD = /"((?:[^"\\]|\\.)*)"/g

/** Watches a Redis server. ioredis fails if commands of others arrive together with the answer to MONITOR. */
export async function startMonitor(port: number): Promise<RedisMonitor> {
  const commands: string[][] = []
  const started = Promise.withResolvers<void>()
  const socket = connect({ port, host: '127.0.0.1' })
  let text = ''
  socket.on('error', started.reject)
  socket.on('data', chunk => {
    const lines = (text + chunk.toString('latin1')).split('\r\n')
    text = lines.pop() ?? ''
    for (const line of lines) {
      if (line === '+OK') started.resolve()
      const [, source = 'lua', words = ''] = LINE.exec(line) ?? []
      if (source !== 'lua') commands.push([...words.matchAll(WORD)].map(([, word = '']) => word))
    }
  })
  socket.write('MONITOR\r\n')
  await started.promise
  return { commands, [Symbol.dispose]: () => void socket.destroy() }
}
