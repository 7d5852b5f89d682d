import { describe, expect, test } from 'bun:test'
import { type Environment, loadConfig } from '../../src/config/config.ts'
import { SETTINGS } from '../../src/config/settings.ts'
import { shownSettings } from '../../src/config/shown.ts'

const shown = (env: Environment) => shownSettings(env, loadConfig(env).config)

const SECRETS = {
  JWT_SECRET: 'jwt-secret-of-at-least-thirty-two-bytes',
  JWT_SECRET_PREVIOUS: 'previous-secret-of-thirty-two-bytes-or-more',
  API_KEY: 'api-key-one-0123456789,api-key-two-0123456789',
  TENANT_API_KEYS: 'acme:tenant-key-0123456789',
  METRICS_KEY: 'metrics-key-0123456789',
}

describe('the settings in effect', () => {
  test('are shown as written or by default; a setting without value or default is left out', () => {
    const all = shown({ SERVER_PORT: '9000', TENANT_OVERRIDES: '{"acme":{"max_connections":5}}' })
    expect(all).toMatchObject({
      SERVER_HOST: '0.0.0.0',
      SERVER_PORT: '9000',
      RUN_MODE: 'development',
      LOG_LEVEL: 'info',
      LOG_FORMAT: 'text',
      QUEUE_ENABLED: 'false',
      JWT_ALGORITHMS: 'HS256',
      STORE_URL: 'memory:',
      REDIS_URL: 'redis://localhost:6379',
      TENANT_OVERRIDES: '{"acme":{"max_connections":5}}',
    })
    expect(all['NODE_ID']).toMatch(/^[0-9a-f]{8}$/)
    for (const name of ['JWT_ISSUER', 'JWT_SECRET', 'API_KEY', 'METRICS_KEY', 'TRUSTED_PROXIES'])
      expect([name, name in all]).toEqual([name, false])
    for (const [name, { default: usual }] of Object.entries(SETTINGS))
      if (usual !== undefined) expect([name, name in all]).toEqual([name, true])
    expect(shown({ REDIS_URL: '' })['REDIS_URL']).toBe('')
  })

  test('show only that a secret is set', () => {
    const all = shown(SECRETS)
    for (const [name, secret] of Object.entries(SECRETS)) {
      expect([name, all[name]]).toEqual([name, 'set'])
      for (const part of secret.split(/[,:]/))
        if (part !== 'acme') expect(JSON.stringify(all)).not.toContain(part)
    }
  })

  const ADDRESSES: readonly [name: string, written: string, told: string][] = [
    ['REDIS_URL', 'redis://user:p%40ss@redis:6379/2', 'redis://redis:6379/2'],
    ['REDIS_URL', 'rediss://:secret@redis:6379', 'rediss://redis:6379'],
    ['REDIS_URL', 'redis+sentinel://:secret@a:1,b:2/main', 'redis+sentinel://a:1,b:2/main'],
    ['JWT_JWKS_URL', 'https://u:secret@keys.example/set?code=secret#secret', 'https://keys.example/set'],
    ['CORS_ORIGINS', 'https://a.example,https://b.example', 'https://a.example,https://b.example'],
  ]
  for (const [name, written, told] of ADDRESSES)
    test(`tell of ${written} neither user, password nor query`, () => {
      expect(shown({ [name]: written })[name]).toBe(told)
    })
})
