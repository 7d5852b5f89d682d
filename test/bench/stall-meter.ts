/**
 * Preloaded into a server (`bun --preload`), writes to stderr ten times a second the longest time between two
 * turns of its event loop, in milliseconds, and its moment. A timer due each millisecond is never early: time
 * beyond one millisecond is delay by other work.
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
