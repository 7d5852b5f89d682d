import { ConfigError } from './config.ts'

interface Listener {
  readonly name: 'SERVER_PORT' | 'INTERNAL_PORT'
  readonly hostname: string
  readonly port: number
}

/** Turns the error of a listener that could not open into one that names the setting. */
export function listenRefusal(error: unknown, { name, hostname, port }: Listener): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === undefined) return error
  return new ConfigError(
    code === 'EADDRINUSE'
      ? `${name}: expected a free port, ${port} is in use`
      : `SERVER_HOST: expected an address to listen on (${String(code)} on ${hostname}:${port})`,
  )
}
