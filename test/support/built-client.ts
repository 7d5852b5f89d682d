import { afterAll } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildClient, bundleClient } from '../../client/build.ts'

type Build = (folder: string) => Promise<void>

const folders = new Map<Build, Promise<string>>()

async function run(build: Build): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'ara-client-'))
  await build(folder)
  return folder
}

/** Builds once per test file; resolves with the folder. */
function once(build: Build): Promise<string> {
  const folder = folders.get(build) ?? run(build)
  folders.set(build, folder)
  return folder
}

/** The published code, without the declarations, which take most of the time. */
export const bundledClient = (): Promise<string> => once(bundleClient)

/** Everything that the package publishes. */
export const builtClient = (): Promise<string> => once(buildClient)

afterAll(async () => {
  const built = await Promise.all(folders.values())
  folders.clear()
  for (const folder of built) await rm(folder, { recursive: true })
})
