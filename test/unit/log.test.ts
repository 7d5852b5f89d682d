import { expect, test } from 'bun:test'
import { createLogger } from '../../src/observe/log.ts'

for (const format of ['text', 'json'] as const)
  test(`an event is one line of ${format}, with all its fields`, async () => {
    const lines: string[] = []
    const logger = await createLogger({
      level: 'info',
      format,
      out: { write: line => void lines.push(line) },
    })
    logger.info({ node: 'n1', settings: { SERVER_PORT: '8081', QUEUE_ENABLED: 'true' } }, 'started')
    expect(lines).toHaveLength(1)
    expect(lines[0]?.trimEnd().split('\n')).toHaveLength(1)
    for (const part of ['started', 'n1', 'SERVER_PORT', '8081', 'QUEUE_ENABLED'])
      expect(lines[0]).toContain(part)
  })
