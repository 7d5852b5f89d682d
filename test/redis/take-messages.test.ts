import { expect, test } from 'bun:test'
import { Socket } from 'node:net'
import { Redis } from 'ioredis'
import { takeMessages } from '../../src/lib/redis/messages.ts'
import { createRandom } from '../support/random.ts'
import { startRedis } from '../support/redis.ts'

const bulk = (text: string | Buffer): Buffer => {
  const bytes = Buffer.from(text)
  return Buffer.concat([Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n')])
}
const list = (...items: readonly (string | Buffer)[]): Buffer =>
  Buffer.concat([Buffer.from(`*${items.length}\r\n`), ...items.map(bulk)])

/** Replies that carry no message. */
const OTHERS = [
  '+OK\r\n',
  '+PONG\r\n',
  '-ERR message\r\n',
  ':12\r\n',
  '$-1\r\n',
  '$0\r\n\r\n',
  '*-1\r\n',
  '*0\r\n',
  '*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n',
  '*4\r\n$8\r\npmessags\r\n*2\r\n:1\r\n*1\r\n$-1\r\n$4\r\n\r\n\r\n\r\n+x\r\n',
  '*2\r\n$4\r\npong\r\n$0\r\n\r\n',
  '*3\r\n$7\r\nmessagf\r\n$1\r\na\r\n$1\r\nb\r\n',
]

test('messages are taken out of the replies, in order and wherever the bytes are cut', () => {
  const seed = Math.floor(Math.random() * 2 ** 31)
  console.log(`seed ${seed}`)
  const random = createRandom(seed)
  const below = (most: number) => random.whole(0, most - 1)
  const text = () =>
    Buffer.from(Array.from({ length: below(random.chance(0.5) ? 8 : 300) }, () => below(256)))
  for (let round = 0; round < 300; round++) {
    const [sent, others, messages]: [Buffer[], string[], Buffer[][]] = [[], [], []]
    for (let n = below(12); n >= 0; n--) {
      const [channel, message] = [text(), text()]
      const kind = below(3)
      if (kind === 0) {
        const other = OTHERS[below(OTHERS.length)] ?? ''
        others.push(other)
        sent.push(Buffer.from(other))
      } else {
        messages.push([channel, message])
        sent.push(kind === 1 ? list('message', channel, message) : list('pmessage', text(), channel, message))
      }
    }
    const stream = new Socket()
    const passed: string[] = []
    stream.on('data', bytes => passed.push(bytes.toString('latin1')))
    const taken: unknown[] = []
    takeMessages({ stream, emit: (_, ...given) => taken.push(given) > 0 }, work => work())
    const bytes = Buffer.concat(sent)
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(bytes.length, at + 1 + below(random.chance(0.5) ? 3 : 200))
      stream.emit('data', Buffer.from(bytes.subarray(at, end)))
      at = end
    }
    expect(taken).toEqual(messages)
    expect(passed).toEqual(others)
  }
})

test('a client that takes its messages gets all of them, and answers to its commands', async () => {
  await using redis = await startRedis()
  const client = new Redis({ port: redis.port, host: '127.0.0.1', protocol: 2 })
  try {
    await client.ping()
    takeMessages(client, work => work())
    const got: [channel: string, message: string][] = []
    const complete = Promise.withResolvers<void>()
    client.on('messageBuffer', (channel, message) => {
      got.push([channel.toString(), message.toString()])
      if (message.toString() === 'last') complete.resolve()
    })
    await Promise.all([client.subscribe('a', 'b'), client.psubscribe('p:*')])
    const large = 'x'.repeat(3_000_000)
    const sent = [
      ['a', '1'],
      ['p:1', large],
      ['b', ''],
      ['p:2', '\r\n$1\r\n'],
      ['a', 'last'],
    ] as const
    for (const [channel, message] of sent) await redis.publish(channel, message)
    await complete.promise
    expect(await client.ping()).toEqual(expect.arrayContaining(['pong']))
    expect(await client.unsubscribe('b')).toBe(2)
    expect(got).toEqual(sent.map(([channel, message]) => [channel, message]))
  } finally {
    client.disconnect()
  }
})
