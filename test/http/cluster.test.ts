import { expect, test } from 'bun:test'
import { startTestApp } from '../support/app.ts'
import { createStoppedClock } from '../support/clock.ts'
import { socketOf } from '../support/visit.ts'

const BOUND = { 'x-api-key': 'a-key-of-acme-0123456789' }
const KEYS = { TENANT_API_KEYS: `acme:${BOUND['x-api-key']}` }

test('a node without a bus lists only itself, with its start time and connections', async () => {
  const clock = createStoppedClock()
  const since = new Date(clock.now()).toISOString()
  await using app = await startTestApp({ NODE_ID: 'n1' }, { clock })
  using _ = await socketOf(app, 'u')
  clock.jump(5)
  expect((await app.get('/api/v1/cluster')).json).toEqual({
    node: 'n1',
    nodes: [{ id: 'n1', version: '0.0.0-test', connections: 1, since }],
    total: 1,
  })
})

test('a key that is bound to a tenant must not list nodes; without tenancy it may', async () => {
  await using app = await startTestApp({ ...KEYS, TENANT_ENABLED: 'true' })
  await using single = await startTestApp(KEYS)
  const { status, json } = await app.get('/api/v1/cluster', BOUND)
  expect([status, json.error.code]).toEqual([403, 'FORBIDDEN'])
  expect((await app.get('/api/v1/cluster')).status).toBe(200)
  expect((await single.get('/api/v1/cluster', BOUND)).status).toBe(200)
})
