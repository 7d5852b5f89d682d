// The first process of a container loses each signal that it does not handle yet: everything else is loaded afterwards.

let isSignalled = false
const { promise: signalled, resolve } = Promise.withResolvers<string>()

/** First signal: drain, once the service has started. Second: exit at once. */
function onSignal(signal: string): void {
  if (isSignalled) process.exit(1)
  isSignalled = true
  resolve(signal)
}

process.on('SIGTERM', onSignal)
process.on('SIGINT', onSignal)

const { run } = await import('./command.ts')
await run(process.argv.slice(2), signalled)
