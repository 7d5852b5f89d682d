import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './free-port.ts'
import { blocksOf, sectionOf } from './markdown.ts'

/** Advice for a missing program: the command to type. */
export const ADVICE = 'Tests need nginx: type "apt-get install -y --no-install-recommends nginx".'

/** Folder of the unpacked Debian package; installing it would start a server on port 80. */
const UNPACKED = join(import.meta.dir, '../../node_modules/.cache/nginx')
const PROGRAMS = ['/usr/sbin/nginx', join(UNPACKED, 'usr/sbin/nginx')]

/** Finds the path of nginx; undefined if missing. */
export const findNginx = (): string | undefined =>
  Bun.which('nginx') ?? PROGRAMS.find(path => existsSync(path))

/** Unpacks nginx where apt-get can download it. */
export async function unpackNginx(): Promise<void> {
  if (Bun.which('apt-get') === null || Bun.which('dpkg') === null) return
  await mkdir(UNPACKED, { recursive: true })
  const run = (...command: readonly string[]) =>
    Bun.spawnSync([...command], { cwd: UNPACKED, stdout: 'ignore', stderr: 'ignore' })
  run('apt-get', 'download', 'nginx')
  for (const file of new Bun.Glob('nginx_*.deb').scanSync(UNPACKED)) run('dpkg', '-x', file, '.')
}

const OPERATIONS = join(import.meta.dir, '../../docs/OPERATIONS.md')
const START_MS = 10_000

/** Adapts the block of `docs/OPERATIONS.md` to nodes on local ports, without TLS. */
async function blockFor(port: number, nodes: readonly number[]): Promise<string> {
  const [block] = blocksOf(sectionOf(await Bun.file(OPERATIONS).text(), '### nginx'))
  const servers = nodes.map(node => `server 127.0.0.1:${node} max_fails=0;`).join('\n  ')
  return (block?.text ?? '')
    .replace(/^ {2}server 10\.0\.0\.11[^\n]*\n {2}server 10\.0\.0\.12[^\n]*$/m, `  ${servers}`)
    .replace('listen 443 ssl;', `listen 127.0.0.1:${port};`)
    .replaceAll(/^ {2}ssl_.*\n/gm, '')
}

export interface Nginx extends AsyncDisposable {
  readonly port: number
  /** `http://127.0.0.1:<port>` */
  readonly url: string
}

/** Starts nginx with the block of `docs/OPERATIONS.md`: `await using proxy = await startNginx([app.port])`. */
export async function startNginx(nodes: readonly number[]): Promise<Nginx> {
  const program = findNginx()
  if (program === undefined) throw new Error(ADVICE)
  const folder = await mkdtemp(join(tmpdir(), 'nginx-'))
  const port = await freePort()
  const file = join(folder, 'nginx.conf')
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map(name => `${name}_temp_path ${join(folder, name)};`)
    .join('\n')
  await writeFile(
    file,
    `daemon off;
master_process off;
pid ${join(folder, 'pid')};
error_log ${join(folder, 'error.log')};
events {}
http {
access_log off;
${temporary}
${await blockFor(port, nodes)}
}`,
  )
  const child = Bun.spawn([program, '-p', folder, '-c', file], { stdout: 'ignore', stderr: 'pipe' })
  const url = `http://127.0.0.1:${port}`
  const giveUpAt = performance.now() + START_MS
  for (;;) {
    if (child.exitCode !== null) throw new Error(await child.stderr.text())
    if (performance.now() > giveUpAt) throw new Error('nginx does not answer')
    const answers = await fetch(url).then(
      () => true,
      () => false,
    )
    if (answers) break
    await Bun.sleep(10)
  }
  return {
    port,
    url,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL')
      await child.exited
      await rm(folder, { recursive: true })
    },
  }
}
