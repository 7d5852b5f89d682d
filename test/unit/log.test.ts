import { expect, test } from 'bun:test'
import { createLog } from '../../src/observe/log.ts'

for (const format of ['text', 'json'] as const)
  test(`an event is one line of ${format}, with all its fields`, async () => {
    const lines: string[] = []
    const log = await createLog({ level: 'info', format, out: { write: line => void lines.push(line) } })
    log.info({ node: 'n1', settings: { SERVER_PORT: '8081', QUEUE_ENABLED: 'true' } }, 'started')
    expect(lines).toHaveLength(1)
    expect(lines[0]?.trimEnd().split('\n')).toHaveLength(1)
    for (const part of ['started', 'n1', 'SERVER_PORT', '8081', 'QUEUE_ENABLED'])
      expect(lines[0]).toContain(part)
  })
