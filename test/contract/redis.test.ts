import { afterAll } from 'bun:test'
import { systemClock } from '../../src/lib/clock.ts'
import { redisStore } from '../../src/store/redis/redis.ts'
import { startRedis } from '../support/redis.ts'
import { eventually } from '../support/visit.ts'
import { idempotencyContract } from './idempotency.contract.ts'
import { revocationsContract } from './revocations.contract.ts'
import { type OpenStore, storeContract } from './store.contract.ts'

const redis = await startRedis()
afterAll(() => redis[Symbol.asyncDispose]())
const admin = redis.client()

const SETTINGS = {
  redisCircuitBreakerFailureThreshold: 5,
  redisCircuitBreakerSuccessThreshold: 2,
  redisCircuitBreakerResetTimeoutSeconds: 30,
  redisBackoffInitialDelayMs: 100,
  redisBackoffMaxDelayMs: 30_000,
}
const DATABASES = 16
let opened = 0

/** An empty one, by the test's clock. */
const open: OpenStore = async ({ clock, ...options }) => {
  const db = opened++ % DATABASES
  await admin.select(db)
  await admin.flushdb()
  const store = redisStore({
    address: { hosts: [{ host: '127.0.0.1', port: redis.port }], tls: false, db },
    settings: SETTINGS,
    replicas: 0,
    clock: systemClock,
    time: clock.now,
    ...options,
  })
  await eventually(store.isUp)
  return store
}

storeContract('redis', open, { runs: 150 })
revocationsContract('redis', open)
idempotencyContract('redis', open)
