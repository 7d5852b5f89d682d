import type { Config } from '../config/config.ts'

/** Rounds up, so that all shares together are never less than the whole; 0 = no limit. */
const shareOf = (whole: number, count: number): number => Math.ceil(whole / count)

/** Node id of a worker. */
export const nodeIdOf = (service: string, worker: number): string => `${service}-${worker}`

/** Settings of one worker of `count`: its node id, and its share of the limits of the machine. */
export const settingsOfWorker = (config: Config, worker: number, count: number): Config => ({
  ...config,
  nodeId: nodeIdOf(config.nodeId, worker),
  maxSockets: config.maxSockets === undefined ? undefined : shareOf(config.maxSockets, count),
  websocketMaxConnections: shareOf(config.websocketMaxConnections, count),
  ratelimitHttpRequestsPerSecond: shareOf(config.ratelimitHttpRequestsPerSecond, count),
  ratelimitHttpBurstSize: shareOf(config.ratelimitHttpBurstSize, count),
  ratelimitWsConnectionsPerMinute: shareOf(config.ratelimitWsConnectionsPerMinute, count),
})
