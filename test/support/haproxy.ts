import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './free-port.ts'

/** Advice for a missing program: the command to type. */
export const ADVICE = 'Tests need HAProxy: type "apt-get install -y --no-install-recommends haproxy".'

export const findHaproxy = (): string | undefined => Bun.which('haproxy') ?? undefined

const COMPOSE = join(import.meta.dir, '../../compose.cluster.yaml')
const START_MS = 10_000

/** The configuration of HAProxy in `compose.cluster.yaml`. */
async function composedConfig(): Promise<string> {
  const { configs } = Bun.YAML.parse(await Bun.file(COMPOSE).text()) as {
    readonly configs: { readonly haproxy: { readonly content: string } }
  }
  return configs.haproxy.content
}

/** A node as the proxy sees it. */
interface ProxiedNode {
  readonly port: number
  readonly internalPort: number
}

/** Puts local addresses into the configuration; no name server is needed then. */
function adapted(config: string, port: number, nodes: readonly ProxiedNode[]): string {
  const servers = nodes.map((node, n) => `    server s${n} 127.0.0.1:${node.port} port ${node.internalPort}`)
  return config
    .replace(/^ *server .*\n/gm, '')
    .replace(/^resolvers docker\n( +.*\n)*/m, '')
    .replace('maxconn 30000', 'maxconn 2000')
    .replace(' port 8082', '')
    .replace(' resolvers docker init-addr none', '')
    .replace('bind :8081', `bind 127.0.0.1:${port}`)
    .trimEnd()
    .concat('\n', servers.join('\n'), '\n')
}

export interface Haproxy extends AsyncDisposable {
  /** `http://127.0.0.1:<port>` */
  readonly url: string
}

/** Starts HAProxy as in `compose.cluster.yaml`, in front of local nodes. Resolves when it reaches one of them. */
export async function startHaproxy(nodes: readonly ProxiedNode[]): Promise<Haproxy> {
  const program = findHaproxy()
  if (program === undefined) throw new Error(ADVICE)
  const folder = await mkdtemp(join(tmpdir(), 'haproxy-'))
  const port = await freePort()
  const file = join(folder, 'haproxy.cfg')
  await writeFile(file, adapted(await composedConfig(), port, nodes))
  const child = Bun.spawn([program, '-db', '-f', file], { stdout: 'ignore', stderr: 'pipe' })
  const url = `http://127.0.0.1:${port}`
  const giveUpAt = performance.now() + START_MS
  const answers = () =>
    fetch(`${url}/api/v1/channels`).then(
      ({ status }) => status !== 503,
      () => false,
    )
  while (!(await answers())) {
    if (child.exitCode !== null) throw new Error(await child.stderr.text())
    if (performance.now() > giveUpAt) throw new Error('HAProxy reaches no node')
    await Bun.sleep(20)
  }
  return {
    url,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL')
      await child.exited
      await rm(folder, { recursive: true })
    },
  }
}
