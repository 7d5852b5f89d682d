import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from 'ara-client'
import { createServerClient } from 'ara-client/server'

const { ARA_URL = 'http://localhost:8081', API_KEY, JWT_SECRET, TICK_MS = '1000' } = process.env

// Behind the proxy it does not matter which node answers.
const backend = createServerClient({ url: ARA_URL, apiKey: API_KEY, secret: JWT_SECRET })
const client = createClient({ url: ARA_URL, token: () => backend.token({ user: 'alice' }) })

client.watch(() => console.log(client.connection.state))
client.onGap(({ reason }) => console.log(`gap: ${reason}`))
client.on('tick', ({ payload }) => console.log(`received ${payload}`))
await client.ready()

for (let no = 1; ; no++) {
  try {
    const { status } = await backend.user('alice', { event_type: 'tick', payload: no })
    console.log(`sent ${no}: ${status}`)
  } catch (error) {
    console.error(`not sent ${no}: ${error}`)
  }
  await sleep(Number(TICK_MS))
}
