/**
 * Loaded before a server (`bun --preload`), tells on its standard error ten times a second the longest time between two
 * turns of its event loop, in milliseconds, and when. A timer that is due each millisecond must not be early, so what is
 * above a millisecond is what others kept it waiting.
 */
const TOLD_EVERY_MS = 100

let last = performance.now()
let toldAt = last
let longest = 0

setInterval(() => {
  const now = performance.now()
  longest = Math.max(longest, now - last)
  last = now
  if (now - toldAt < TOLD_EVERY_MS) return
  process.stderr.write(`${JSON.stringify({ at: Date.now(), stallMs: longest })}\n`)
  toldAt = now
  longest = 0
}, 1)
