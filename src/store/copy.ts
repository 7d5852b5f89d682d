import { createReadStream, existsSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { type Config, ConfigError } from '../config/config.ts'
import { backUp, restore } from './sqlite/backup.ts'

const STANDARD_STREAM = '-'

async function backUpTo(path: string, file: string): Promise<void> {
  if (file !== STANDARD_STREAM) return await backUp(path, file)
  const passing = `${path}.backup-${process.pid}`
  await backUp(path, passing)
  try {
    await Bun.write(Bun.stdout, Bun.file(passing))
  } finally {
    await rm(passing, { force: true })
  }
}

async function restoreFrom(path: string, file: string): Promise<void> {
  if (file === STANDARD_STREAM) return await restore(path, Bun.stdin.stream())
  if (!existsSync(file)) throw new ConfigError(`restore: expected a file that exists (${file})`)
  await restore(path, createReadStream(file))
}

/**
 * Runs `backup <file>` or `restore <file>`; `-` means stdout or stdin. Throws one-line errors that tell what was expected.
 */
export async function copyStore(
  command: 'backup' | 'restore',
  file: string,
  { storeUrl }: Pick<Config, 'storeUrl'>,
): Promise<void> {
  if (storeUrl.kind !== 'sqlite') throw new ConfigError(`STORE_URL: expected sqlite:<path>, for a ${command}`)
  await (command === 'backup' ? backUpTo(storeUrl.path, file) : restoreFrom(storeUrl.path, file))
}
