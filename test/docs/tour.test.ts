import { expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SECRET, startTestApp } from '../support/app.ts'
import { connectStream } from '../support/client.ts'
import { curlLines, readCurl, runCurl } from '../support/curl.ts'
import { LANGUAGES } from '../support/languages.ts'
import { blocksOf, sectionOf } from '../support/markdown.ts'

const ROOT = join(import.meta.dir, '../..')
const readme = await Bun.file(join(ROOT, 'README.md')).text()
const samples = blocksOf(sectionOf(readme, '## A token for each user'))

/** Reads until the text matches. */
async function readUntil(stream: ReadableStream<Uint8Array>, wanted: RegExp): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true })
    if (wanted.test(text)) return text
  }
  throw new Error(`the stream ended before ${wanted}: ${text}`)
}

test('the two curl commands that the service prints deliver a first notification', async () => {
  const { PATH = '' } = process.env
  await using service = Bun.spawn([process.execPath, 'src/main.ts'], {
    cwd: ROOT,
    env: { PATH, SERVER_PORT: '0', REDIS_URL: '' },
    stdout: 'pipe',
    stderr: 'inherit',
    timeout: 30_000,
  })
  const printed = await readUntil(service.stdout, /Notify[\s\S]*\n.*curl.*\n/)
  const [listening = '', sending = ''] = curlLines(printed.replaceAll(/^ +/gm, ''))
  const [, origin = ''] = /(http:\/\/localhost:\d+)\/sse/.exec(printed) ?? []

  const stream = await runCurl(readCurl(listening), origin)
  expect([stream.status, stream.headers.get('content-type')]).toEqual([200, 'text/event-stream'])
  const { status } = await runCurl(readCurl(sending), origin)
  expect(status).toBe(200)
  const events = await readUntil(stream.body ?? new ReadableStream(), /event: notification\n.*\n\n/)
  expect(events).toContain('"event_type":"hello","payload":{"text":"Hello"}')
  service.kill('SIGKILL')
})

test.each(Object.entries(LANGUAGES))(
  'the %s sample of at most five lines signs a token that the service accepts',
  async (name, language) => {
    const [code = ''] = samples.filter(block => block.language === name).map(({ text }) => text)
    const lines = code.trim().split('\n')
    expect(lines.filter(line => line !== '<?php').length).toBeLessThanOrEqual(5)
    const program = language.find()
    if (program === undefined) throw new Error(language.advice)
    const folder = await mkdtemp(join(tmpdir(), 'sample-'))
    const file = join(folder, language.file)
    await Bun.write(file, code)
    const child = Bun.spawn([program, file], {
      env: { ...process.env, JWT_SECRET: SECRET },
      stderr: 'inherit',
    })
    const token = (await child.stdout.text()).trim()
    await rm(folder, { recursive: true })

    await using service = await startTestApp()
    using stream = await connectStream(`${service.url}/sse?token=${token}`)
    expect((await stream.nextOf('connected')).data).toMatchObject({ user_id: 'demo' })
  },
)
