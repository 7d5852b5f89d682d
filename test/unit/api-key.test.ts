import { describe, expect, test } from 'bun:test'
import { createApiKeys } from '../../src/auth/api-key.ts'

describe('API keys', () => {
  test('are open to everybody when none is configured, whatever is sent', () => {
    const keys = createApiKeys([])
    expect(keys.open).toBe(true)
    for (const key of [null, '', 'anything']) expect(keys.accepts(key)).toBe(true)
  })

  test('are all valid, wherever they stand in the list', () => {
    const keys = createApiKeys(['first-key', 'second-key', 'third-key'])
    expect(keys.open).toBe(false)
    for (const key of ['first-key', 'second-key', 'third-key']) expect(keys.accepts(key)).toBe(true)
  })

  test('are wrong when missing, empty, longer, shorter, in other case, untrimmed or listed together', () => {
    const keys = createApiKeys(['first-key', 'second-key'])
    const wrong = [
      null,
      '',
      'first-key2',
      'first-ke',
      'First-key',
      ' first-key',
      'first-key ',
      'first-key,second-key',
    ]
    for (const key of wrong) expect(keys.accepts(key)).toBe(false)
  })

  test('outside ASCII are met in the form a header has', async () => {
    const keys = createApiKeys(['schlüssel-€'])
    await using server = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      fetch: ({ headers }) => new Response(String(keys.accepts(headers.get('x-api-key')))),
    })
    const utf8 = Buffer.from('schlüssel-€').toString('latin1')
    const answer = await fetch(server.url, { headers: { 'x-api-key': utf8 } })
    expect(await answer.text()).toBe('true')
    // U+0142 has the low byte of "B".
    expect(createApiKeys(['B']).accepts('\u0142')).toBe(false)
  })
})
