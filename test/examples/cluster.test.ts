import { expect, test } from 'bun:test'
import { API_KEY, SECRET } from '../support/app.ts'
import type { Message } from '../support/client.ts'
import { spawnExample } from '../support/example.ts'
import { freePort } from '../support/free-port.ts'

const TEST_MS = 60_000

test(
  'the client receives every number once and in order, although the node that serves it is killed',
  async () => {
    const port = String(await freePort())
    await using cluster = spawnExample('cluster', {
      SERVER_PORT: port,
      API_KEY,
      JWT_SECRET: SECRET,
      TICK_MS: '100',
    })
    const numbers = (word: string) =>
      [...cluster.output.matchAll(new RegExp(`^${word} (\\d+)`, 'gm'))].map(([, no]) => Number(no))
    const received = () => numbers('received')
    await cluster.until(() => received().length >= 5)

    const headers = { 'x-api-key': API_KEY }
    const presence = await fetch(`http://127.0.0.1:${port}/api/v1/users/alice/presence`, { headers })
    const { nodes }: Message = await presence.json()
    const pid = new RegExp(`^node ${nodes[0].node}: pid (\\d+)`, 'm').exec(cluster.output)?.[1]
    const before = Math.max(...numbers('sent'))
    process.kill(Number(pid), 'SIGKILL')
    await cluster.until(() => Math.max(...received()) >= before + 15)

    const got = received()
    expect(got).toEqual(got.map((_, n) => n + 1))
    expect(cluster.output).toContain(`node ${nodes[0].node} has ended`)
    expect(cluster.output).not.toContain('gap')
    expect(cluster.output).not.toContain('not sent')
  },
  TEST_MS,
)
