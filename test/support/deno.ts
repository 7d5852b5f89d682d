import { join } from 'node:path'

/** The command that runs a file of a project with Deno, which may use the network. */
export async function denoCommand(file: string): Promise<readonly string[]> {
  const scan = { cwd: join(import.meta.dir, '../..'), absolute: true, followSymlinks: true }
  for await (const path of new Bun.Glob('node_modules/@deno/*/deno').scan(scan))
    return [path, 'run', '--quiet', '--no-config', '--node-modules-dir=manual', '--allow-net', file]
  throw new Error('Tests need Deno: type "bun install".')
}

/** Keeps what Deno writes in the folder of the project. */
export const denoEnvironment = (folder: string): Readonly<Record<string, string>> => ({
  DENO_DIR: join(folder, '.deno'),
  DENO_NO_UPDATE_CHECK: '1',
})
