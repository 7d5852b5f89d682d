import { afterAll } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildClient } from '../../client/build.ts'

let built: Promise<string> | undefined

async function build(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'ara-client-'))
  await buildClient(folder)
  return folder
}

/** Builds what the package publishes, once per test file; resolves with its folder. */
export function builtClient(): Promise<string> {
  built ??= build()
  return built
}

afterAll(async () => {
  const folder = await built
  built = undefined
  if (folder !== undefined) await rm(folder, { recursive: true })
})
