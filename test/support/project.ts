import { cp, mkdir, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { bundledClient } from './built-client.ts'

const ROOT = join(import.meta.dir, '../..')

export interface Project extends AsyncDisposable {
  readonly folder: string
  /** Runs a file with Node to its end and returns its output. */
  run(file: string, env?: Readonly<Record<string, string>>): Promise<string>
}

/** Path of Node, which runs the samples of the documents. */
export function findNode(): string {
  const node = Bun.which('node')
  if (node === null)
    throw new Error('Tests need Node: type "apt-get install -y --no-install-recommends nodejs".')
  return node
}

/** Creates a project with these files, where `ara-client` and some packages of this project are installed. */
export async function createProject(
  files: Readonly<Record<string, string>>,
  packages: readonly string[] = [],
): Promise<Project> {
  const folder = await mkdtemp(join(tmpdir(), 'project-'))
  const client = join(folder, 'node_modules/ara-client')
  await cp(await bundledClient(), join(client, 'dist'), { recursive: true })
  await cp(join(ROOT, 'client/package.json'), join(client, 'package.json'))
  for (const name of packages) {
    const path = join('node_modules', name)
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await symlink(join(ROOT, path), join(folder, path))
  }
  const all = { 'package.json': JSON.stringify({ type: 'module', private: true }), ...files }
  for (const [path, text] of Object.entries(all)) await Bun.write(join(folder, path), text)
  return {
    folder,
    run: async (file, env = {}) => {
      const child = Bun.spawn([findNode(), file], {
        cwd: folder,
        env: { ...process.env, ...env },
        stdin: 'ignore',
        stdout: 'pipe',
        stderr: 'inherit',
        timeout: 30_000,
      })
      return (await child.stdout.text()).trim()
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  }
}
