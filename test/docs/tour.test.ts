import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { curlLines, readCurl, runCurl } from '../support/curl.ts'
import { blocksOf, sectionOf } from '../support/markdown.ts'

const ROOT = join(import.meta.dir, '../..')
const readme = await Bun.file(join(ROOT, 'README.md')).text()
const tour = blocksOf(sectionOf(readme, '## Sixty seconds'))
const [listening = '', sending = ''] = tour.flatMap(({ language, text }) =>
  language === 'sh' ? curlLines(text) : [],
)
const [shown = ''] = tour.filter(({ language }) => language === '').map(({ text }) => text)

/** Reads until the text holds it. */
async function readUntil(stream: ReadableStream<Uint8Array>, wanted: string | RegExp): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true })
    if (typeof wanted === 'string' ? text.includes(wanted) : wanted.test(text)) return text
  }
  throw new Error(`it ended without ${wanted}: ${text}`)
}

test('the tour of the README shows what it says', async () => {
  const { PATH = '' } = process.env
  await using service = Bun.spawn([process.execPath, 'src/main.ts'], {
    cwd: ROOT,
    env: { PATH, SERVER_PORT: '0', REDIS_URL: '' },
    stdout: 'pipe',
    stderr: 'inherit',
    timeout: 30_000,
  })
  const said = await readUntil(service.stdout, /Notify[\s\S]*\n.*curl.*\n/)
  const [, token = ''] = /^\s+(ey\S+)$/m.exec(said) ?? []
  const [, origin = ''] = /(http:\/\/localhost:\d+)\/sse/.exec(said) ?? []

  const stream = await runCurl(readCurl(listening.replace('<the token>', token)), origin)
  expect([stream.status, stream.headers.get('content-type')]).toEqual([200, 'text/event-stream'])
  const { status } = await runCurl(readCurl(sending), origin)
  expect(status).toBe(200)

  const events = await readUntil(stream.body ?? new ReadableStream(), /event: notification\n.*\n\n/)
  const asShown = events
    .slice(events.indexOf('event: notification'))
    .replace(/"id":"[^"]+"/, '"id":"…"')
    .replace(/"occurred_at":"[^"]+"/, '"occurred_at":"…"')
  expect(asShown.trim()).toBe(shown.trim())
  service.kill('SIGKILL')
})

test('the lines that the service prints itself are those of the tour', async () => {
  const main = await Bun.file(join(ROOT, 'src/main.ts')).text()
  const { body } = readCurl(sending)
  expect(main).toContain('"event_type":"hello","payload":{"text":"Hello"}')
  expect(body).toBe('{"target_user_id":"demo","event_type":"hello","payload":{"text":"Hello"}}')
})
