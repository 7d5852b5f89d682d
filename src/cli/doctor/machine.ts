import { createServer } from 'node:net'
import type { Config } from '../../config/config.ts'
import { descriptorLimit } from '../../lib/system/descriptors.ts'
import { localUrl } from '../address.ts'
import { type Answer, callApi, isEnvelope, NoAnswer } from '../api.ts'
import { type Finding, fail, ok, warn } from './finding.ts'

/** Descriptors for files and for connections that are being closed. */
const SPARE_DESCRIPTORS = 100
const ANSWER_MS = 2_000

/** Each process of WORKERS has the limit, and a share of the connections. */
export function checkDescriptors({ websocketMaxConnections: most, workers }: Config): Finding {
  const limit = descriptorLimit()
  const needed = Math.ceil(most / workers) + SPARE_DESCRIPTORS
  if (limit === undefined) return ok('descriptors', 'no limit of open files is known')
  if (most === 0) return ok('descriptors', `${limit} open files; WEBSOCKET_MAX_CONNECTIONS=0 sets no limit`)
  if (limit >= needed) return ok('descriptors', `${limit} open files, ${needed} are needed`)
  return warn(
    'descriptors',
    `${limit} open files, but WEBSOCKET_MAX_CONNECTIONS needs ${needed}`,
    `raise the limit (ulimit -n ${needed}, LimitNOFILE= in systemd) or lower WEBSOCKET_MAX_CONNECTIONS`,
  )
}

/** Resolves with the error code that forbids listening, or undefined. */
function listenFault(host: string, port: number): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>()
  const server = createServer()
  server.once('error', error => resolve('code' in error ? String(error.code) : error.message))
  server.listen({ host: host.replace(/^\[(.*)\]$/, '$1'), port, exclusive: true }, () =>
    server.close(() => resolve(undefined)),
  )
  return promise
}

interface Listener {
  readonly name: 'SERVER_PORT' | 'INTERNAL_PORT'
  readonly host: string
  readonly port: number
}

/** The service answers `/health/live`, or with INTERNAL_PORT an error envelope there. */
const isOurs = (answer: Answer): boolean => answer.body?.['status'] === 'alive' || isEnvelope(answer)

/** Undefined if unknown: the setting allows any port. */
type IsRunning = boolean | undefined

interface CheckedListener {
  readonly finding: Finding
  readonly isRunning: IsRunning
}

const notRunning = (finding: Finding): CheckedListener => ({ finding, isRunning: false })

/** Asks the program that has the port. */
async function checkTaken({ name, host, port }: Listener): Promise<CheckedListener> {
  const place = `${name} ${port}`
  try {
    const signal = AbortSignal.timeout(ANSWER_MS)
    const answer = await callApi(localUrl(host, port), '/health/live', { signal })
    if (isOurs(answer)) return { finding: ok('port', `${place}: the service answers`), isRunning: true }
    return notRunning(fail('port', `${place}: another program answers`, `stop it or change ${name}`))
  } catch (error) {
    if (!(error instanceof NoAnswer && error.isLate))
      return notRunning(fail('port', `${place} is in use by another program`, `stop it or change ${name}`))
    const advice = 'look at the log of the service, and restart it'
    return notRunning(fail('port', `${place}: accepts connections, but does not answer`, advice))
  }
}

async function checkListener(listener: Listener): Promise<CheckedListener> {
  const { name, host, port } = listener
  const unknown = ok('port', `${name}=0: any free port (give a running service with --url)`)
  if (port === 0) return { finding: unknown, isRunning: undefined }
  const code = await listenFault(host, port)
  if (code === undefined)
    return notRunning(ok('port', `${name} ${port} is free: the service is not running here`))
  if (code === 'EADDRINUSE') return await checkTaken(listener)
  const message = `${name} ${port}: the service cannot listen (${code})`
  if (code !== 'EACCES') return notRunning(fail('port', message, 'correct SERVER_HOST'))
  // The service may have a permission that this user lacks.
  const taken = await checkTaken(listener)
  return taken.isRunning ? taken : notRunning(fail('port', message, `choose a port above 1023 for ${name}`))
}

interface CheckedPorts {
  readonly findings: readonly Finding[]
  /** The service answers on SERVER_PORT. */
  readonly isRunning: IsRunning
}

/** Checks the ports on this machine. */
export async function checkPorts({
  serverHost: host,
  serverPort,
  internalPort,
}: Config): Promise<CheckedPorts> {
  const [server, internal] = await Promise.all([
    checkListener({ name: 'SERVER_PORT', host, port: serverPort }),
    internalPort === 0 ? undefined : checkListener({ name: 'INTERNAL_PORT', host, port: internalPort }),
  ])
  return {
    findings: [server, internal].flatMap(checked => checked?.finding ?? []),
    isRunning: server.isRunning,
  }
}
