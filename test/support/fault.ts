/** Loaded before the service: on SIGUSR2 two faults that nobody handles. */
process.on('SIGUSR2', () => {
  void Promise.reject(new Error('a rejection that nobody handles'))
  throw new Error('an exception that nobody catches')
})
