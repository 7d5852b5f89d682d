import { test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startTestApp } from '../support/app.ts'
import { startBrowser } from '../support/browser.ts'
import { blocksOf, sectionOf } from '../support/markdown.ts'

const ROOT = join(import.meta.dir, '../..')

test('the page of the README, opened from a file, shows a first notification', async () => {
  const readme = await Bun.file(join(ROOT, 'README.md')).text()
  const [block] = blocksOf(sectionOf(readme, '## Your first notification'))
  const folder = await mkdtemp(join(tmpdir(), 'first-'))
  const file = join(folder, 'first.html')
  await Bun.write(file, block?.text ?? '')
  await using service = await startTestApp({ API_KEY: '' })
  const browser = await startBrowser({ host: 'localhost:8081', port: service.port })
  const page = await browser.newPage()
  await page.goto(`file://${file}`)
  await page.fill('#token', ` ${await service.token('demo')}\n`)
  await page.click('#connect')
  const output = page.locator('#output')
  await output.getByText('connected').waitFor()
  await page.click('#send')
  await output.getByText('hello: Hello').waitFor()
  await output.getByText('sent: delivered').waitFor()
  await browser.close()
  await rm(folder, { recursive: true })
}, 30_000)
