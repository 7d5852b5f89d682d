import { version } from '../../package.json' with { type: 'json' }

/** The build puts the commit in place of this name. */
declare const BUILD_COMMIT: string | undefined

/** Commit of the sources that run, if they lie in a Git repository. */
function commitOfSources(): string | undefined {
  if (Bun.which('git') === null) return undefined
  const { exitCode, stdout } = Bun.spawnSync(['git', 'rev-parse', '--short', 'HEAD'], {
    cwd: import.meta.dir,
    stderr: 'ignore',
  })
  return exitCode === 0 ? stdout.toString().trim() : undefined
}

export interface Version {
  readonly version: string
  readonly commit?: string
}

export function readVersion(): Version {
  const commit = typeof BUILD_COMMIT === 'string' ? BUILD_COMMIT : commitOfSources()
  return { version, ...(commit && { commit }) }
}
