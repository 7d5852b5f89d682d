import { expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Line, linesOf } from './report.ts'

const BETWEEN =
  '<!-- capacity -->\nold\n<!-- end of capacity -->\n\n<!-- results -->\nold\n<!-- end of results -->\n\n<!-- centrifugo -->\nold\n<!-- end of centrifugo -->\n'

/** Writes the tables of these lines into a document, and returns it. */
async function documentOf(lines: readonly Line[]): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'ara-tables-'))
  const [figures, document] = [join(folder, 'figures.json'), join(folder, 'document.md')]
  await Bun.write(figures, JSON.stringify({ header: 'here', disturbance: 'Quiet.', lines }))
  await Bun.write(document, BETWEEN)
  const child = Bun.spawn([process.execPath, join(import.meta.dir, 'tables.ts'), figures, document])
  expect(await child.exited).toBe(0)
  const text = await Bun.file(document).text()
  await rm(folder, { recursive: true })
  return text
}

const PER_CPU_SECOND = 'requests per CPU-second'
const ofRounds = (...values: readonly number[]) => values.map(value => ({ [PER_CPU_SECOND]: value }))

test('the tables show medians, their spread, and what two cores carry', async () => {
  const text = await documentOf([
    ...linesOf('send', 'log off', {}, { ours: ofRounds(20_000, 24_600, 22_000), control: ofRounds(40_000) }),
    ...linesOf(
      'workers',
      '2 beside 1, log off, users connected',
      {},
      { ours: ofRounds(15_040), control: ofRounds(20_000) },
    ),
  ])
  expect(text).toContain('| `POST /send`, log off, users connected | 22,000 sends | 30,000 sends |  |')
  expect(text).toContain(
    '| send | log off | requests per CPU-second | 22,000 | 20,000–24,600 | 40,000 | 40,000–40,000 | 0.55 | – |  |',
  )
  expect(text).toContain('<!-- centrifugo -->\nold\n')
})

test('a ratio to nothing is a dash', async () => {
  const text = await documentOf(linesOf('send', 'log off', {}, { ours: ofRounds(0), control: ofRounds(0) }))
  expect(text).toContain(
    '| send | log off | requests per CPU-second | 0.00 | 0.00–0.00 | 0.00 | 0.00–0.00 | – | – |  |',
  )
})

test('a run beside Centrifugo changes no other table', async () => {
  const text = await documentOf(
    linesOf('centrifugo', 'send, log off', {}, { ours: ofRounds(2), control: ofRounds(4) }),
  )
  expect(text).toContain('<!-- results -->\nold\n')
  expect(text).toContain('| Ours | min–max | Centrifugo | min–max |')
  expect(text).toContain('| centrifugo | send, log off | requests per CPU-second | 2.00 | 2.00–2.00 | 4.00 |')
})
