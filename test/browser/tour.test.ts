import { expect, test } from 'bun:test'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { awaitedLater } from '../support/awaited-later.ts'
import { startBrowser } from '../support/browser.ts'
import { freePort } from '../support/free-port.ts'
import { blocksOf, sectionOf } from '../support/markdown.ts'

const ROOT = join(import.meta.dir, '../..')
const TEST_MS = 120_000
const NOT_COPIED = ['.git', '.env', 'node_modules', 'dist']

/** Stands for `npx`, which would download Bun. */
const NPX = `#!/bin/sh
if [ "$1" = -y ]; then shift 2; exec '${process.execPath}' "$@"; fi
program=$1; shift; exec node "node_modules/.bin/$program" "$@"
`

/** Fresh copy of the project, without anything that is installed or built. */
async function checkout(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'newcomer-'))
  await cp(ROOT, folder, {
    recursive: true,
    filter: path => path === ROOT || !NOT_COPIED.includes(basename(path)),
  })
  await Bun.write(join(folder, 'bin/npx'), NPX, { mode: 0o755 })
  return folder
}

/** Runs a block of the README in a terminal. */
function openTerminal(folder: string, port: number, text: string) {
  const child = Bun.spawn(['sh', '-c', text], {
    cwd: folder,
    env: {
      HOME: process.env['HOME'] ?? '',
      PATH: `${folder}/bin:${process.env['PATH']}`,
      SERVER_PORT: String(port),
      REDIS_URL: '',
      // Vite opens no browser.
      BROWSER: 'none',
    },
    // A group of its own, which ends as a whole.
    detached: true,
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'inherit',
  })
  const reader = child.stdout.getReader()
  let shown = ''
  return {
    /** Reads the output until it matches, and resolves with what matched. */
    shows: async (wanted: RegExp): Promise<string> => {
      while (!wanted.test(shown)) {
        const { done, value } = await reader.read()
        if (done) throw new Error(`the output ended before ${wanted}: ${shown}`)
        shown += Buffer.from(value).toString()
      }
      return wanted.exec(shown)?.[0] ?? ''
    },
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode === null) process.kill(-child.pid, 'SIGKILL')
      await reader.cancel()
    },
  }
}

test(
  'the steps of the README lead from a checkout to a first notification in a page',
  async () => {
    const readme = await Bun.file(join(ROOT, 'README.md')).text()
    const blocks = blocksOf(sectionOf(readme, '## Your first notification'))
    expect(blocks.map(({ language }) => language)).toEqual(['sh', 'html', 'sh', 'sh'])
    const [start = '', html = '', open = '', send = ''] = blocks.map(({ text }) => text)
    expect(html.trim().split('\n').length).toBeLessThanOrEqual(12)

    const port = await freePort()
    const folder = await checkout()
    {
      await using first = openTerminal(folder, port, start)
      await first.shows(/started/)
      await Bun.write(join(folder, 'first.html'), html)
      await using second = openTerminal(folder, port, open)
      const token = await second.shows(/^ey[\w-]+\.[\w-]+\.[\w-]+$/m)
      const site = await second.shows(/http:\/\/localhost:\d+(?=\/)/)
      const browser = await startBrowser({ host: 'localhost:8081', port })
      const page = await browser.newPage()
      page.on('dialog', dialog => dialog.accept(token))
      const connected = awaitedLater(
        page.waitForEvent('websocket').then(socket => socket.waitForEvent('framereceived')),
      )
      await page.goto(`${site}/first.html`)
      await connected
      await using third = openTerminal(folder, port, send)
      await third.shows(/delivered to 1 connection,/)
      await page.locator('h1').getByText('Hello').waitFor()
      expect(await page.locator('p').textContent()).toBe('online')
      await browser.close()
    }
    await rm(folder, { recursive: true })
  },
  TEST_MS,
)

test(
  'a notification sent to a service with a file, as the README shows, arrives after a restart',
  async () => {
    const readme = await Bun.file(join(ROOT, 'README.md')).text()
    const blocks = blocksOf(sectionOf(readme, '## Keep what you send')).map(({ text }) => text)
    expect(blocks).toHaveLength(4)
    const [compose = '', start = '', send = '', listen = ''] = blocks
    const [secrets = ''] = compose.split('\n')
    expect(secrets).toEndWith('> .env')

    const port = await freePort()
    const folder = await checkout()
    {
      await using first = openTerminal(folder, port, `${secrets}\n${start}`)
      await first.shows(/started/)
      await using second = openTerminal(folder, port, send)
      await second.shows(/queued for 1 user,/)
    }
    {
      await using first = openTerminal(folder, port, start)
      await first.shows(/started/)
      await using second = openTerminal(folder, port, listen)
      await second.shows(/hello {2}\{"text":"Kept"\}/)
    }
    await rm(folder, { recursive: true })
  },
  TEST_MS,
)
