/** Preloaded into the service: SIGUSR2 raises two unhandled faults. */
process.on('SIGUSR2', () => {
  void Promise.reject(new Error('a rejection that nobody handles'))
  throw new Error('an exception that nobody catches')
})
