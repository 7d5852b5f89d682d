import type { Bus } from './bus.ts'

/** The bus of a single node: nothing to reach. */
export const noBus = (): Bus => ({
  kind: 'none',
  instance: 'single',
  isUp: () => true,
  listen: () => {},
  publish: async () => 0,
  publishToOthers: async () => 0,
  join: () => {},
  leave: () => {},
  subscriber: undefined,
  evict: async () => {},
  [Symbol.asyncDispose]: async () => {},
})
