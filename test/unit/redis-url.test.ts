import { expect, test } from 'bun:test'
import { describe as describeAddress, parseRedisUrl, type RedisAddress } from '../../src/lib/redis/url.ts'

const at = (host: string, port: number) => ({ host, port })

test.each<[url: string, address: RedisAddress]>([
  ['redis://localhost', { hosts: [at('localhost', 6379)], tls: false, db: 0 }],
  ['redis://localhost:6380/3', { hosts: [at('localhost', 6380)], tls: false, db: 3 }],
  ['redis://h/', { hosts: [at('h', 6379)], tls: false, db: 0 }],
  ['REDIS://h:1', { hosts: [at('h', 1)], tls: false, db: 0 }],
  ['redis://[::1]:7', { hosts: [at('::1', 7)], tls: false, db: 0 }],
  ['rediss://r.example.com:6390', { hosts: [at('r.example.com', 6390)], tls: true, db: 0 }],
  ['redis://:p%40ss@h', { hosts: [at('h', 6379)], tls: false, password: 'p@ss', db: 0 }],
  ['redis://u:p:q@h', { hosts: [at('h', 6379)], tls: false, username: 'u', password: 'p:q', db: 0 }],
  ['redis://u@h', { hosts: [at('h', 6379)], tls: false, username: 'u', db: 0 }],
  ['redis+sentinel://a/m', { hosts: [at('a', 26_379)], master: 'm', tls: false, db: 0 }],
  [
    'redis+sentinel://u:p@a:1,[::2],c:3/my%20master/4',
    {
      hosts: [at('a', 1), at('::2', 26_379), at('c', 3)],
      master: 'my master',
      tls: false,
      username: 'u',
      password: 'p',
      db: 4,
    },
  ],
])('%s', (url, address) => {
  expect(parseRedisUrl(url)).toEqual(address)
})

test.each([
  '',
  'localhost:6379',
  'redis:',
  'redis://',
  'redis://:6379',
  'redis://h:0',
  'redis://h:65536',
  'redis://h:x',
  'redis://h/x',
  'redis://h/1/2',
  'redis://h/-1',
  'redis://a:1,b:2',
  'redis://u:%zz@h',
  'redis://a b',
  'redis://::1',
  'unix:///tmp/redis.sock',
  'http://h',
  'redis+sentinel://a:1,b:2',
  'redis+sentinel://a:1,b:2/',
  'redis+sentinel://a:1,/m',
  'redis+sentinel://a/m/x',
  'redis+sentinel://a/m/1/2',
  'redis://h\nx',
  'redis://h:1?protocol=3',
  'redis://h?db=3',
  'redis://h/1?db=3',
  'redis://h/?',
  'redis+sentinel://a/m?db=3',
  'redis://h/1#2',
  'redis://h/12345',
  'redis://u:p@ss@h',
  'redis://u:p/ss@h',
  'redis://u:p%ss@h',
])('%j is none', url => {
  expect(parseRedisUrl(url)).toBeUndefined()
})

test('the description of an address contains no credentials', () => {
  const said = (url: string) => {
    const address = parseRedisUrl(url)
    return address && describeAddress(address)
  }
  expect(said('redis://user:secret@h:1/2')).toBe('h:1')
  expect(said('redis+sentinel://user:secret@a:1,b/m')).toBe('m by a:1,b:26379')
})
