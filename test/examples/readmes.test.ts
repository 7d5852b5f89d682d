import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { SECRET, startTestApp } from '../support/app.ts'
import type { Message } from '../support/client.ts'
import { startExample } from '../support/example.ts'
import { freePort } from '../support/free-port.ts'
import { blocksOf } from '../support/markdown.ts'
import { createProject, findNode } from '../support/project.ts'
import { eventually } from '../support/visit.ts'

const ROOT = join(import.meta.dir, '../..')
const TEST_MS = 60_000

const readme = (name: string): Promise<string> => Bun.file(join(ROOT, 'examples', name, 'README.md')).text()

// Not installed for the tests: Debian's package takes 450 MB.
const GO = Bun.which('go') === null ? [] : ['go']

test.concurrent.each(['browser', 'react', 'node', 'php', 'python', ...GO])(
  'the commands in the README of the example %s send order 42 to alice',
  async name => {
    const blocks = blocksOf(await readme(name)).map(({ text }) => text)
    const [start = '', ...commands] = blocks
      .slice(0, -1)
      .flatMap(text => text.trim().split('\n'))
      .map(line => line.replace(/ +# .*$/, ''))
    expect(start).toBe(`bun run example ${name}`)

    const port = String(await freePort())
    await using example = await startExample(name, {
      SERVER_PORT: port,
      BACKEND_PORT: String(await freePort()),
      STORE_URL: 'memory:',
    })
    const run = async (command: string) => {
      const text = command
        .replaceAll('localhost:3000', new URL(example.url).host)
        .replace(/^bun /, `exec '${process.execPath}' `)
      await using shell = Bun.spawn(['sh', '-c', text], {
        cwd: ROOT,
        env: { PATH: process.env['PATH'] ?? '', SERVER_PORT: port },
        stdout: 'pipe',
        stderr: 'ignore',
      })
      if (!command.includes(' listen ')) return expect([command, await shell.exited]).toEqual([command, 0])
      let shown = ''
      for await (const chunk of shell.stdout) {
        shown += Buffer.from(chunk).toString()
        if (/order\.shipped.*42/.test(shown)) return
      }
      throw new Error(`${command} showed ${shown}`)
    }
    for (const command of commands) await run(command)
    const log = await fetch(`http://127.0.0.1:${port}/api/v1/users/alice/notifications`)
    const { notifications }: Message = await log.json()
    const orders = notifications.filter(({ event_type: type }: Message) => type === 'order.shipped')
    expect(orders.map(({ payload }: Message) => payload)).toEqual([{ order: 42 }])
  },
  TEST_MS,
)

test.each([
  ['browser', ['server.mjs', 'index.html']],
  ['node', ['server.mjs']],
])(
  'the files of the example %s work in a project of their own',
  async (name, files) => {
    const [command = ''] = blocksOf(await readme(name))
      .slice(-1)
      .map(({ text }) => text.trim().split('\n').at(-1) ?? '')
    expect(command).toEndWith('JWT_SECRET=… node server.mjs')
    await using service = await startTestApp()
    const texts = files.map(
      async file => [file, await Bun.file(join(ROOT, 'examples', name, file)).text()] as const,
    )
    await using project = await createProject(Object.fromEntries(await Promise.all(texts)))
    const port = await freePort()
    await using server = Bun.spawn([findNode(), 'server.mjs'], {
      cwd: project.folder,
      env: { ARA_URL: service.url, JWT_SECRET: SECRET, PORT: String(port) },
      stdout: 'inherit',
      stderr: 'inherit',
    })
    let token = ''
    await eventually(async () => {
      const answer = await fetch(`http://127.0.0.1:${port}/token`).catch(() => undefined)
      token = (await answer?.text()) ?? ''
      return token !== ''
    })
    const log = await fetch(`${service.url}/api/v1/me/notifications`, {
      headers: { authorization: `Bearer ${token}` },
    })
    expect([log.status, server.exitCode]).toEqual([200, null])
  },
  TEST_MS,
)
