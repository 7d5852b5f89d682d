import { atLeast, type Row, windowOf } from '../row.ts'
import { API_KEY, type ServerProcess } from '../server.ts'

const USERS = 1_000
/** Default size of a log. */
const ENTRIES = 100
const PER_CPU_SECOND = 'entries per CPU-second'

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0')

/** Payload like the loader's, with any time. */
const payloadOf = (n: number) => ({ mark: `${hex(0, 16)}${hex(0, 4)}${hex(n, 8)}`, text: 'x'.repeat(151) })

/** Stores the same notifications for every user. */
async function fill({ port }: ServerProcess): Promise<void> {
  const users = Array.from({ length: USERS }, (_, n) => `user-${n}`)
  for (let n = 0; n < ENTRIES; n++) {
    const { ok, status } = await fetch(`http://127.0.0.1:${port}/api/v1/notifications/send-to-users`, {
      method: 'POST',
      headers: { 'x-api-key': API_KEY, 'content-type': 'application/json' },
      body: JSON.stringify({ target_user_ids: users, event_type: 'bench', payload: payloadOf(n) }),
    })
    if (!ok) throw new Error(`a send was answered ${status}`)
  }
}

/** All users repeatedly connect and replay their whole log; both sides include the cost of connecting. */
export const replay: Row = {
  name: 'replay',
  cases: [
    {
      name: '100 entries to each of 1,000',
      control: 'replay',
      env: { QUEUE_ENABLED: 'true' },
      goals: { [PER_CPU_SECOND]: atLeast(0.5) },
      run: async ({ start, load }) => {
        const server = await start()
        await fill(server)
        const loaded = await load(server, {
          mode: 'visit',
          clients: USERS,
          query: '&cursor=',
          waiting: ENTRIES,
        })
        const { cpu, received, busy } = windowOf(loaded)
        return { [PER_CPU_SECOND]: received / cpu, 'loader busy': busy }
      },
    },
  ],
}
