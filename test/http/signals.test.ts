import { expect, setDefaultTimeout, test } from 'bun:test'
import { readFile } from 'node:fs/promises'
import { spawnService } from '../support/service.ts'

setDefaultTimeout(30_000)

/** SIGINT and SIGTERM in the signal masks of Linux. */
const SIGNALS = (1n << 1n) | (1n << 14n)
/** Delays of the signal in milliseconds: before, during and after loading. */
const DELAYS = [0, 0, 5, 20, 60, 120, 200, 400]

/** Signals that the process handles, or that wait for it. */
async function signalsIn(mask: 'SigCgt' | 'ShdPnd', pid: number): Promise<bigint> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const [, digits = '0'] = new RegExp(`^${mask}:\\s*([0-9a-f]+)$`, 'm').exec(status) ?? []
  return BigInt(`0x${digits}`) & SIGNALS
}

async function untilHandled(pid: number): Promise<void> {
  while ((await signalsIn('SigCgt', pid)) !== SIGNALS) await Bun.sleep(0)
}

test('a SIGTERM during the start drains the server like any other', async () => {
  for (const delay of DELAYS) {
    const child = spawnService({ DRAIN_SECONDS: '1' })
    await untilHandled(child.pid)
    await Bun.sleep(delay)
    child.kill('SIGTERM')
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()])
    expect([delay, await child.exited, stderr]).toEqual([delay, 0, ''])
    expect(stdout).toMatch(/"event":"signal".*"event":"drain.ended"/s)
  }
})

test('signals are handled long before the server has started', async () => {
  const began = performance.now()
  await using child = spawnService({ DRAIN_SECONDS: '0' })
  await untilHandled(child.pid)
  const handledAfter = performance.now() - began
  for await (const chunk of child.stdout) if (Buffer.from(chunk).includes('"started"')) break
  expect(handledAfter).toBeLessThan((performance.now() - began) / 3)
})

test('a Ctrl-C that comes from the terminal and from npm counts once', async () => {
  await using child = spawnService({ DRAIN_SECONDS: '1' })
  await untilHandled(child.pid)
  child.kill('SIGINT')
  // Two signals of a kind that wait at the same time are one.
  while ((await signalsIn('ShdPnd', child.pid)) > 0n) await Bun.sleep(0)
  child.kill('SIGINT')
  const [stdout, code] = await Promise.all([child.stdout.text(), child.exited])
  expect([code, stdout]).toEqual([0, expect.stringContaining('"event":"drain.ended"')])
})

test('a second signal during the start exits at once with 1', async () => {
  await using child = spawnService({})
  await untilHandled(child.pid)
  child.kill('SIGTERM')
  child.kill('SIGINT')
  expect(await child.exited).toBe(1)
})
