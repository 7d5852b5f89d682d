// PID 1 loses signals that it does not handle yet: install handlers before loading the rest.

/** Ctrl-C reaches the service twice under npm: from the terminal, and from npm, which passes it on. */
const SAME_CTRL_C_MS = 100

let first: { readonly signal: string; readonly at: number } | undefined
const { promise: signalled, resolve } = Promise.withResolvers<string>()

/** Drains on the first signal, once the service has started; exits on the second. */
function onSignal(signal: string): void {
  const at = performance.now()
  if (first === undefined) {
    first = { signal, at }
    resolve(signal)
  } else if (signal !== 'SIGINT' || first.signal !== signal || at - first.at > SAME_CTRL_C_MS) process.exit(1)
}

process.on('SIGTERM', onSignal)
process.on('SIGINT', onSignal)

const { runCommandLine } = await import('./cli/cli.ts')
await runCommandLine(process.argv.slice(2), signalled)
