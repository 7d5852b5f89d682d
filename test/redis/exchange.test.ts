import { expect, test } from 'bun:test'
import { ReplyError } from 'ioredis'
import { createClient } from '../../src/lib/redis/client.ts'
import { exchange, type RedisCommand } from '../../src/lib/redis/exchange.ts'
import { awaitedLater } from '../support/awaited-later.ts'
import { startRedis } from '../support/redis.ts'

async function connect(port: number) {
  const client = createClient({ host: '127.0.0.1', port }, { tls: false })
  await client.connect()
  return client
}

test('commands that are sent together get their replies in order, with a refusal in its place', async () => {
  await using redis = await startRedis()
  const client = await connect(redis.port)
  const replies = await exchange(client, [
    ['set', 'ключ', 'naïve 日本 🎉\r\n$3'],
    ['get', 'ключ'],
    ['hset', 'ключ', 'field', 1],
    ['incrby', 'n', 41],
    ['eval', 'return {1, ARGV[1], {redis.call("GET", "n")}}', 0, ''],
    ['get', 'nothing'],
  ])
  const refused = replies[2]
  expect(refused).toBeInstanceOf(ReplyError)
  expect(String(refused)).toContain('WRONGTYPE')
  expect(replies.toSpliced(2, 1)).toEqual(['OK', 'naïve 日本 🎉\r\n$3', 41, [1, '', ['41']], null])
  expect(await exchange(client, [])).toEqual([])
  client.disconnect()
}, 20_000)

test('texts of any length and alphabet arrive as they are', async () => {
  await using redis = await startRedis()
  const client = await connect(redis.port)
  const alphabets = ['a', 'é', '語', '🎉', '\r\n', '\0']
  const texts = [0, 1, 99, 100, 101, 1_023, 1_024, 5_000].flatMap(length =>
    alphabets.map(each => each.repeat(length)),
  )
  for (const text of texts) {
    const replies = await exchange(client, [
      ['set', 'a text', text],
      ['strlen', 'a text'],
      ['set', text, 'found'],
      ['get', 'a text'],
      ['get', text],
    ])
    expect(replies.slice(1)).toEqual([Buffer.byteLength(text), 'OK', text, 'found'])
  }
  client.disconnect()
}, 20_000)

test('exchanges and other commands of one connection keep their order', async () => {
  await using redis = await startRedis()
  const client = await connect(redis.port)
  const count = (n: number): RedisCommand[] => Array.from({ length: n }, () => ['incr', 'n'])
  const answers = await Promise.all([
    exchange(client, count(3)),
    client.incr('n'),
    exchange(client, count(2_000)),
    client.get('n'),
  ])
  expect(answers[0]).toEqual([1, 2, 3])
  expect(answers[1]).toBe(4)
  expect(answers[2]).toEqual(Array.from({ length: 2_000 }, (_, n) => 5 + n))
  expect(answers[3]).toBe('2004')
  client.disconnect()
}, 20_000)

test('an exchange rejects when its connection ends before all replies, and on an ended connection', async () => {
  await using redis = await startRedis()
  const client = await connect(redis.port)
  const cut = awaitedLater(
    exchange(client, [
      ['set', 'a', 1],
      ['blpop', 'never', 0],
      ['get', 'a'],
    ]),
  )
  await redis.kill()
  await expect(cut).rejects.toThrow('closed')
  await expect(exchange(client, [['ping']])).rejects.toThrow()
}, 20_000)
