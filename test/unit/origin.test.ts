import { describe, expect, test } from 'bun:test'
import { createOrigins } from '../../src/auth/origin.ts'

const APP = 'https://app.example.com'

describe('origins', () => {
  test.each([[[]], [['*']], [[APP, '*']]])('are all accepted when the list is %j', allowed => {
    const origins = createOrigins(allowed)
    for (const origin of [null, 'null', APP, 'http://evil.example']) expect(origins.allows(origin)).toBe(true)
  })

  test('are accepted when listed', () => {
    const origins = createOrigins([APP, 'http://localhost:3000'])
    expect(origins.allows(APP)).toBe(true)
    expect(origins.allows('http://localhost:3000')).toBe(true)
  })

  test('may be absent: browsers always send one', () => {
    expect(createOrigins([APP]).allows(null)).toBe(true)
  })

  test('are rejected at any difference', () => {
    const origins = createOrigins([APP])
    const others = [
      '',
      'null',
      '*',
      'http://app.example.com',
      `${APP}:8443`,
      `${APP}/`,
      `${APP}.evil.example`,
    ]
    const more = ['https://example.com', 'https://APP.example.com', 'https://evil-app.example.com', ` ${APP}`]
    for (const origin of [...others, ...more]) expect(origins.allows(origin)).toBe(false)
  })
})
