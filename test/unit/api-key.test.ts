import { describe, expect, test } from 'bun:test'
import { createApiKeys } from '../../src/auth/api-key.ts'

describe('API keys', () => {
  test('are not required when none is configured', () => {
    const keys = createApiKeys({ keys: [], bound: [] })
    for (const key of [null, '', 'anything']) expect(keys.holderOf(key)).toEqual({})
  })

  test('are all valid, at any place in the list', () => {
    const keys = createApiKeys({ keys: ['first-key', 'second-key', 'third-key'], bound: [] })
    const holders = ['first-key', 'second-key', 'third-key'].map(key => keys.holderOf(key))
    expect(holders).toEqual([{ id: 'key-0' }, { id: 'key-1' }, { id: 'key-2' }])
  })

  test('are rejected when missing, empty, longer, shorter, in other case, untrimmed or combined', () => {
    const keys = createApiKeys({ keys: ['first-key'], bound: [{ tenant: 'acme', key: 'second-key' }] })
    const wrong = [
      null,
      '',
      'first-key2',
      'first-ke',
      'First-key',
      ' first-key',
      'first-key ',
      'first-key,second-key',
      'acme:second-key',
    ]
    for (const key of wrong) expect(keys.holderOf(key)).toBeUndefined()
  })

  test('name their tenant and an id, without any part of the key', () => {
    const bound = [
      { tenant: 'acme', key: 'k1' },
      { tenant: 'acme', key: 'k2' },
      { tenant: 'globex', key: 'k3' },
    ]
    const keys = createApiKeys({ keys: ['k0'], bound })
    expect(['k0', 'k1', 'k2', 'k3'].map(key => keys.holderOf(key))).toEqual([
      { id: 'key-0' },
      { id: 'key-1', tenant: 'acme' },
      { id: 'key-2', tenant: 'acme' },
      { id: 'key-3', tenant: 'globex' },
    ])
    expect(createApiKeys({ keys: [], bound }).holderOf(null)).toBeUndefined()
  })

  test('outside ASCII match the bytes of a header', async () => {
    const keys = createApiKeys({ keys: ['schlüssel-€'], bound: [] })
    await using server = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      fetch: ({ headers }) => new Response(JSON.stringify(keys.holderOf(headers.get('x-api-key')))),
    })
    const utf8 = Buffer.from('schlüssel-€').toString('latin1')
    const answer = await fetch(server.url, { headers: { 'x-api-key': utf8 } })
    expect(await answer.json()).toEqual({ id: 'key-0' })
    // The low byte of U+0142 is "B".
    expect(createApiKeys({ keys: ['B'], bound: [] }).holderOf('\u0142')).toBeUndefined()
  })
})
