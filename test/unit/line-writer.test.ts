import { afterEach, beforeEach, expect, test } from 'bun:test'
import { closeSync, constants, openSync, readSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLineWriter } from '../../src/lib/system/line-writer.ts'
import { createFifo, type Fifo } from '../support/fifo.ts'

const noteOf = async (dropped: number) => `${dropped} lost\n`
const RETRY_MS = 5

let fifo: Fifo
let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'ara-lines-'))
  fifo = createFifo(folder)
})
afterEach(async () => {
  fifo.close()
  await rm(folder, { recursive: true })
})

test('lines arrive in order and whole, however many are written in one turn', async () => {
  const writer = createLineWriter({ fd: fifo.writeEnd, noteOf })
  const lines = Array.from({ length: 5_000 }, (_, n) => `line ${n} äöü\n`)
  for (const line of lines) writer.write(line)
  expect(await fifo.read(lines.join('').length + 3 * lines.length)).toBe(lines.join(''))
  await writer.flush(1_000)
  expect(writer.dropped).toBe(0)
})

test('unread lines are kept up to the bound; the rest is dropped, counted and reported', async () => {
  fifo.fill()
  const writer = createLineWriter({ fd: fifo.writeEnd, noteOf, maxWaiting: 40, retryMs: RETRY_MS })
  for (let n = 0; n < 10; n++) writer.write(`line ${n}..\n`)
  expect(writer.dropped).toBe(6)
  await writer.flush(20)
  expect(await fifo.until('lost\n')).toBe('line 0..\nline 1..\nline 2..\nline 3..\n6 lost\n')
  writer.write('on\n')
  expect(await fifo.until('on\n')).toBe('on\n')
})

test('lines are lost without a reader, and the next reader gets their number', async () => {
  const writer = createLineWriter({ fd: fifo.writeEnd, noteOf, retryMs: RETRY_MS })
  fifo.closeReadEnd()
  writer.write('one\n')
  writer.write('two\n')
  await writer.flush(20)
  expect(writer.dropped).toBe(2)
  fifo.openReadEnd()
  expect(await fifo.until('lost\n')).toBe('2 lost\n')
  writer.write('three\n')
  expect(await fifo.until('three\n')).toBe('three\n')
  expect(writer.dropped).toBe(2)
})

test('a pipe that another process made non-blocking loses no line', async () => {
  const fd = openSync(fifo.path, constants.O_WRONLY | constants.O_NONBLOCK)
  const writer = createLineWriter({ fd, noteOf })
  fifo.fill()
  writer.write('late\n')
  await writer.flush(20)
  expect(await fifo.until('late\n')).toBe('late\n')
  closeSync(fd)
})

test('a line cut by a full disk does not damage the next one', async () => {
  // A file-size limit acts as a full disk: the first write is cut, the next fails.
  const script = `
    import { createLineWriter } from './src/lib/system/line-writer.ts'
    import { truncateSync, writeFileSync } from 'node:fs'
    const noteOf = async dropped => dropped + ' lost\\n'
    const writer = createLineWriter({ fd: 1, noteOf, retryMs: 5 })
    writer.write('x'.repeat(1000) + '\\n')
    writer.write('y'.repeat(1000) + '\\n')
    await writer.flush(50)
    process.exit(writer.dropped)`
  const out = join(folder, 'out')
  const child = Bun.spawn(
    ['bash', '-c', 'trap "" XFSZ; ulimit -f 1; exec "$@" >"$0"', out, process.execPath, '-e', script],
    { cwd: join(import.meta.dir, '../..'), stderr: 'inherit' },
  )
  expect(await child.exited).toBe(1)
  expect((await Bun.file(out).text()).split('\n').map(line => line.length)).toEqual([1000, 23])
})

test('an invalid descriptor loses only the lines', async () => {
  const fd = openSync('/dev/null', 'r')
  closeSync(fd)
  const writer = createLineWriter({ fd, noteOf, retryMs: 10_000 })
  writer.write('one\n')
  await writer.flush(20)
  expect(writer.dropped).toBe(1)
  expect(() => readSync(fd, Buffer.alloc(1))).toThrow()
})
