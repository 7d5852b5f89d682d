import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

const VERSION = 'v1.8.1'
const PACKAGE = `go.k6.io/k6@${VERSION}`
/** First version that reads TypeScript and `k6/websockets`. */
const LEAST_MAJOR = 1
const USUAL_GO = '/usr/local/go/bin/go'
const INSTALL_LIMIT_MS = 30 * 60_000

const go = Bun.which('go') ?? (existsSync(USUAL_GO) ? USUAL_GO : undefined)

/** Output of a program; undefined if it fails. */
function outputOf(command: readonly string[]): string | undefined {
  const { success, stdout } = Bun.spawnSync([...command], { stdin: 'ignore', stderr: 'ignore' })
  return success ? stdout.toString() : undefined
}

/** Folder of `go install`, from Go itself or by convention. */
function goBinary(): string {
  const [gobin, gopath] = (go && outputOf([go, 'env', 'GOBIN', 'GOPATH'])?.split('\n')) || []
  return join(gobin || join(gopath || join(homedir(), 'go'), 'bin'), 'k6')
}

function checked(path: string): string {
  const version = outputOf([path, 'version']) ?? ''
  const [, major] = /^k6\S* v(\d+)\./.exec(version) ?? []
  if (Number(major ?? 0) >= LEAST_MAJOR) return path
  throw new Error(`${path}: expected k6 of version ${LEAST_MAJOR} or later, not "${version.trim()}"`)
}

/** Finds k6 on the PATH or in Go's folder, else installs it with Go. Throws an error of one line. */
export async function findK6(): Promise<string> {
  const installed = goBinary()
  const found = Bun.which('k6') ?? (existsSync(installed) ? installed : undefined)
  if (found !== undefined) return checked(found)
  if (go === undefined)
    throw new Error(
      'k6 is not here, nor Go to install it: see https://grafana.com/docs/k6/latest/set-up/install-k6/',
    )
  console.log(`installing ${PACKAGE} by Go, which takes minutes`)
  const install = Bun.spawn([go, 'install', PACKAGE], {
    stdin: 'ignore',
    stdout: 'inherit',
    stderr: 'inherit',
    timeout: INSTALL_LIMIT_MS,
  })
  if ((await install.exited) !== 0) throw new Error(`go install ${PACKAGE} failed`)
  return checked(installed)
}
