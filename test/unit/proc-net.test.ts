import { expect, test } from 'bun:test'
import { endName, sendQueuesIn } from '../../src/lib/system/proc-net.ts'

const HEAD =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n'
const row = (local: string, remote: string, queue: string): string =>
  `   0: ${local} ${remote} 01 ${queue}:00000000 01:00000014 00000003     0        0 280204 2 0000000062a1de54 20 0 0 10 -1\n`

test('an end has the kernel’s name for any spelling of its address', () => {
  expect(endName('127.0.0.1', 8081)).toBe('0100007F:1F91')
  expect(endName('::ffff:127.0.0.1', 8081)).toBe('0100007F:1F91')
  expect(endName('2001:db8::1', 80)).toBe('B80D0120000000000000000001000000:0050')
  expect(endName('fe80::1%eth0', 80)).toBe('000080FE000000000000000001000000:0050')
  expect(endName('nonsense', 80)).toBe('')
})

test('only clients of the port with unacknowledged bytes are listed; mapped addresses count as IPv4', () => {
  const table = [
    HEAD,
    row('0100007F:1F91', '0100007F:8492', '0000002E'),
    row('0100007F:1F91', '0100007F:8493', '00000000'),
    row('0100007F:8492', '0100007F:1F91', '000000FF'),
    row('0000000000000000FFFF00000100007F:1F91', '0000000000000000FFFF00000200007F:8494', '003B0C00'),
    row('00000000000000000000000001000000:1F91', 'B80D0120000000000000000001000000:0050', '00000001'),
  ].join('')
  expect(sendQueuesIn(table, 0x1f91)).toEqual([
    ['0100007F:8492', 0x2e],
    ['0200007F:8494', 0x3b0c00],
    [endName('2001:db8::1', 80), 1],
  ])
  expect(sendQueuesIn('', 0x1f91)).toEqual([])
})
