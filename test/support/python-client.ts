import { existsSync } from 'node:fs'
import { join } from 'node:path'

/** Generator of Python clients, in its own virtual environment. */
const PLACE = join(import.meta.dir, '../../node_modules/.cache/openapi-python-client')
const PACKAGE = 'openapi-python-client==0.29.1'
const INSTALL_MS = 120_000

/** Advice for a missing program: the command to type. */
export const ADVICE = `Tests need ${PACKAGE}: type "python3 -m venv ${PLACE} && ${PLACE}/bin/pip install ${PACKAGE}" (on Debian after "apt-get install -y python3-venv").`

export const PYTHON = join(PLACE, 'bin/python')
export const GENERATOR = join(PLACE, 'bin/openapi-python-client')

export const hasPythonClient = (): boolean => existsSync(GENERATOR)

/** Installs it; returns true on success. */
export function installPythonClient(): boolean {
  const run = (...command: readonly string[]): boolean => {
    try {
      return Bun.spawnSync([...command], { stdout: 'ignore', stderr: 'ignore', timeout: INSTALL_MS }).success
    } catch {
      return false
    }
  }
  return (
    run('python3', '-m', 'venv', PLACE) &&
    run(PYTHON, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', PACKAGE) &&
    hasPythonClient()
  )
}
