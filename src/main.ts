// PID 1 loses signals that it does not handle yet: install handlers before loading the rest.

let isSignalled = false
const { promise: signalled, resolve } = Promise.withResolvers<string>()

/** Drains on the first signal, once the service has started; exits on the second. */
function onSignal(signal: string): void {
  if (isSignalled) process.exit(1)
  isSignalled = true
  resolve(signal)
}

process.on('SIGTERM', onSignal)
process.on('SIGINT', onSignal)

const { runCommandLine } = await import('./cli/cli.ts')
await runCommandLine(process.argv.slice(2), signalled)
