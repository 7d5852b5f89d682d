import { expect, test } from 'bun:test'
import { step } from '../../client/src/connection.ts'
import { INITIAL, type State } from '../../client/src/connection-state.ts'

/** A stream, and the service has told the one that is to replace it to come later. */
const POSTPONED: State = {
  ...INITIAL,
  phase: 'online',
  transport: 'sse',
  renewal: 'link',
  blocked: 2,
  notBefore: 600_000,
}

test('a stream that has to wait for its successor tries no WebSocket meanwhile', () => {
  const [state, effects] = step(POSTPONED, ['again'], 0, 0)
  expect(effects.map(([name]) => name)).toEqual(['time'])
  expect(state.blocked).toBe(2)
})
