import { spawnCli } from './cli.ts'
import { createInbox } from './inbox.ts'
import type { Program } from './service.ts'

/** Starts `listen`; `next` resolves with its next line on stdout. */
export function startListening(args: readonly string[], env: Record<string, string>, program?: Program) {
  const child = spawnCli(['listen', ...args], { env, ...(program && { program }) })
  const read = async (
    stream: ReadableStream<Uint8Array>,
    inbox: { push(line: string): void; end(): void },
  ) => {
    const decoder = new TextDecoder()
    let text = ''
    for await (const chunk of stream) {
      text += decoder.decode(chunk, { stream: true })
      const lines = text.split('\n')
      text = lines.pop() ?? ''
      for (const line of lines) inbox.push(line)
    }
    inbox.end()
  }
  const [out, err] = [createInbox<string>(), createInbox<string>()]
  void read(child.stdout, out)
  void read(child.stderr, err)
  return {
    out,
    err,
    next: () => out.until(() => true),
    note: (pattern: RegExp) => err.until(line => pattern.test(line)),
    interrupt: async () => {
      child.kill('SIGINT')
      return await child.exited
    },
    exited: child.exited,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL')
      await child.exited
    },
  }
}
