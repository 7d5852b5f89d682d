import { type Config, ConfigError } from '../config/config.ts'
import { listenRefusal } from '../config/listen-refusal.ts'
import { reservePort, type SharedPort } from '../lib/system/shared-port.ts'

/** The ports of the service, with a socket of each for every worker. */
export interface Ports {
  readonly port: number
  readonly internalPort: number | undefined
  /** Sockets of the worker with this index, from 0. */
  socketsOf(index: number): readonly number[]
  /** Stops their listening, so that new connections go to the other workers. */
  silence(index: number): void
}

/** Reserves the ports. Throws ConfigError if that is impossible. */
export function reservePorts(
  { serverHost: hostname, serverPort, internalPort }: Config,
  count: number,
): Ports {
  const reserve = (name: 'SERVER_PORT' | 'INTERNAL_PORT', port: number): SharedPort => {
    try {
      return reservePort({ hostname, port, count })
    } catch (error) {
      const refusal = listenRefusal(error, { name, hostname, port })
      throw refusal instanceof ConfigError
        ? refusal
        : new ConfigError('WORKERS: expected 1, because this system does not let processes share a port')
    }
  }
  const open = reserve('SERVER_PORT', serverPort)
  const internal = internalPort === 0 ? undefined : reserve('INTERNAL_PORT', internalPort)
  const shared = [open, ...(internal === undefined ? [] : [internal])]
  const socketsOf = (index: number) => shared.flatMap(({ sockets }) => sockets[index] ?? [])

  return {
    port: open.port,
    internalPort: internal?.port,
    socketsOf,
    silence: index => {
      for (const socket of socketsOf(index)) open.silence(socket)
    },
  }
}
