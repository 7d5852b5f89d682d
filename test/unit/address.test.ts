import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { parseRange } from '../../src/lib/system/address.ts'
import { createAddressOf } from '../../src/limit/address.ts'

/** Address of the client for a peer, trusted proxies and a header. */
function clientOf(peer: string | undefined, forwardedFor?: string, trusted: readonly string[] = []): string {
  const addressOf = createAddressOf({
    trusted: trusted.map(text => {
      const range = parseRange(text)
      if (range === undefined) throw new Error(`${text} is no range`)
      return range
    }),
    peerOf: () => peer,
  })
  const headers = forwardedFor === undefined ? {} : { 'x-forwarded-for': forwardedFor }
  return addressOf(new Request('http://localhost/', { headers }))
}

describe('the address that a limit counts by', () => {
  test.each([
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['::FFFF:c000:207', '192.0.2.7'],
    ['::1', '0:0:0:0::/64'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:0DB8:0001:0002::9', '2001:db8:1:2::/64'],
    ['2001:db8:1:3::9', '2001:db8:1:3::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['64:ff9b::192.0.2.7', '64:ff9b:0:0::/64'],
    [undefined, 'unknown'],
    ['', 'unknown'],
    ['/var/run/a.sock', 'unknown'],
  ])('of the peer %s is %s', (peer, client) => {
    expect(clientOf(peer)).toBe(client)
  })

  test('is the peer’s if the peer is not a trusted proxy, for any header', () => {
    expect(clientOf('192.0.2.7', '198.51.100.1')).toBe('192.0.2.7')
    expect(clientOf('192.0.2.7', '198.51.100.1', ['10.0.0.0/8', '192.0.2.8'])).toBe('192.0.2.7')
    expect(clientOf('10.0.0.1', '198.51.100.1', ['::/0'])).toBe('10.0.0.1')
    expect(clientOf('::1', '198.51.100.1', ['0.0.0.0/0'])).toBe('0:0:0:0::/64')
  })

  const TRUSTED = ['10.0.0.0/8', '127.0.0.1', '2001:db8:ffff::/48', '::ffff:172.16.0.0/108']
  test.each<[header: string | undefined, client: string]>([
    [undefined, '10.0.0.1'],
    ['', '10.0.0.1'],
    ['198.51.100.1', '198.51.100.1'],
    ['203.0.113.5, 198.51.100.1', '198.51.100.1'],
    ['203.0.113.5,198.51.100.1,10.9.9.9', '198.51.100.1'],
    ['203.0.113.5 ,\t198.51.100.1 , 172.16.5.5,127.0.0.1', '198.51.100.1'],
    ['198.51.100.1, 2001:db8:ffff:1::1', '198.51.100.1'],
    ['2001:db8:1:2::7', '2001:db8:1:2::/64'],
    ['::ffff:198.51.100.1', '198.51.100.1'],
    ['10.1.1.1, 10.2.2.2', '10.1.1.1'],
    ['198.51.100.1:4711', '198.51.100.1'],
    ['[2001:db8:1:2::7]:4711, 10.2.2.2:80', '2001:db8:1:2::/64'],
    ['[2001:db8:1:2::7]', '2001:db8:1:2::/64'],
    // An invalid entry is charged to the proxy that passed it on.
    ['unknown', '10.0.0.1'],
    ['198.51.100.1, _hidden', '10.0.0.1'],
    ['198.51.100.1, nonsense, 10.2.2.2', '10.2.2.2'],
    ['198.51.100.1,', '10.0.0.1'],
    ['198.51.100', '10.0.0.1'],
    ['010.0.0.1', '10.0.0.1'],
    ['0x7f.0.0.1', '10.0.0.1'],
    ['198.51.100.1%eth0', '10.0.0.1'],
    ['http://198.51.100.1', '10.0.0.1'],
    ['198.51.100.1; DROP', '10.0.0.1'],
  ])('behind a trusted proxy that says %j is %s', (header, client) => {
    expect(clientOf('10.0.0.1', header, TRUSTED)).toBe(client)
    expect(clientOf('::ffff:10.0.0.1', header, TRUSTED)).toBe(client)
  })

  test('is searched in the last 32 entries only', () => {
    const hops = (count: number) => Array(count).fill('10.2.2.2').join(',')
    expect(clientOf('10.0.0.1', `198.51.100.1,${hops(31)}`, TRUSTED)).toBe('198.51.100.1')
    expect(clientOf('10.0.0.1', `198.51.100.1,${hops(5000)}`, TRUSTED)).toBe('10.2.2.2')
  })

  test('is always an address, and never one that the client wrote', () => {
    const text = fc.string({ unit: fc.constantFrom(...'0123456789abcdef.:,[]% _\t') })
    fc.assert(
      fc.property(text, said => {
        expect(clientOf('10.0.0.1', said, TRUSTED)).toMatch(/^(\d+\.\d+\.\d+\.\d+|[0-9a-f:]+::\/64)$/)
        expect(clientOf('10.0.0.1', `${said},198.51.100.1`, TRUSTED)).toBe('198.51.100.1')
      }),
      { numRuns: 2000 },
    )
  })
})
