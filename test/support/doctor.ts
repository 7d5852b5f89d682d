import { runCli } from './cli.ts'

/** Lines of `doctor` that are not ok, with its exit code. */
export async function faults(env: Readonly<Record<string, string>>, args: readonly string[] = []) {
  const { code, stdout } = await runCli(['doctor', ...args], { env })
  const lines = stdout.trimEnd().split('\n')
  return { code, lines: lines.filter(line => !line.startsWith('ok')) }
}
