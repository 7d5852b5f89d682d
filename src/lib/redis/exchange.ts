import { Command, type Redis } from 'ioredis'
import { isReplyError } from './reply-error.ts'

/** Name and arguments of a Redis command. */
export type RedisCommand = readonly [name: string, ...given: (string | number)[]]

const NAME = 'evalsha'

/** Longer texts are counted by native code. */
const SHORT = 64
/** Starts of arguments by their bytes. */
const ARGUMENT_STARTS = Array.from({ length: 1_024 }, (_, bytes) => argumentStart(bytes))

function argumentStart(bytes: number): string {
  return `\r\n$${bytes}\r\n`
}

/** Bytes in UTF-8. */
function bytesOf(text: string): number {
  const { length } = text
  if (length > SHORT) return Buffer.byteLength(text)
  for (let n = 0; n < length; n++) if (text.charCodeAt(n) > 0x7f) return Buffer.byteLength(text)
  return length
}

/**
 * Encodes commands for RESP2 (redis.io/docs/latest/develop/reference/protocol-spec). Joins all parts at once: half the cost
 * of adding each to a text.
 */
function encode(commands: readonly RedisCommand[]): string {
  const parts: string[] = []
  for (const command of commands) {
    parts.push(`*${command.length}`)
    for (const each of command) {
      const text = typeof each === 'string' ? each : String(each)
      const bytes = bytesOf(text)
      parts.push(ARGUMENT_STARTS[bytes] ?? argumentStart(bytes), text)
    }
    parts.push('\r\n')
  }
  return parts.join('')
}

/**
 * Many commands in one object, which ioredis sends and answers once per command. One object per command, with a promise
 * and the diagnostics of ioredis, would cost more than all the rest.
 */
class Exchange extends Command {
  /** Skips the diagnostics, which copy each argument although nobody subscribes. */
  override isTraced = true
  #text: string

  constructor(
    commands: readonly RedisCommand[],
    resolve: (replies: readonly unknown[]) => void,
    reject: (error: Error) => void,
  ) {
    super(NAME, [], { replyEncoding: 'utf8' })
    this.#text = encode(commands)
    const replies: unknown[] = []
    const add = (reply: unknown): void => {
      replies.push(reply)
      if (replies.length === commands.length) resolve(replies)
    }
    this.resolve = reply => add(this.transformReply(reply))
    this.reject = error => (isReplyError(error) ? add(error) : reject(error))
  }

  /** Everything at the first call, then nothing. */
  override toWritable(): string {
    const text = this.#text
    this.#text = ''
    return text
  }
}

/**
 * Sends all commands in one write. Resolves with the replies in order, a ReplyError for each refusal. Rejects when the
 * connection ends first.
 */
export function exchange(client: Redis, commands: readonly RedisCommand[]): Promise<readonly unknown[]> {
  if (commands.length === 0) return Promise.resolve([])
  return new Promise((resolve, reject) => {
    const all = new Exchange(commands, resolve, reject)
    const stream = {
      isPipeline: true as const,
      destination: { redis: client },
      write: (text: string | Buffer) => text.length > 0 && client.stream.write(text),
    }
    for (let n = 0; n < commands.length; n++) client.sendCommand(all, stream)
  })
}
