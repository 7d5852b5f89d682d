import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Socket.IO with its Redis Streams adapter, installed into its own directory, which is removed with it. */
export interface SocketIo extends AsyncDisposable {
  /** Starts one node. */
  readonly command: readonly string[]
}

const VERSIONS = { 'socket.io': '4.8.4', '@socket.io/redis-streams-adapter': '0.3.1', ioredis: '5.8.2' }
const SERVER = 'socket-io.mjs'

export async function installSocketIo(): Promise<SocketIo> {
  const directory = await mkdtemp(join(tmpdir(), 'ara-socket-io-'))
  await copyFile(join(import.meta.dir, 'control', SERVER), join(directory, SERVER))
  await Bun.write(join(directory, 'package.json'), JSON.stringify({ type: 'module', dependencies: VERSIONS }))
  const { success, stderr } = Bun.spawnSync([process.execPath, 'install', '--silent'], { cwd: directory })
  if (!success) throw new Error(`Socket.IO cannot be installed: ${stderr}`)
  return {
    // Its own platform is Node.
    command: [Bun.which('node') ?? process.execPath, join(directory, SERVER)],
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true }),
  }
}
