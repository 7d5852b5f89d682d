import { Command, type Redis } from 'ioredis'
import { isReplyError } from './reply-error.ts'

/** Name and arguments of a Redis command. */
export type RedisCommand = readonly [name: string, ...given: (string | number)[]]

const NAME = 'evalsha'

/** Starts of arguments by their bytes. */
const ARGUMENT_STARTS = Array.from({ length: 1_024 }, (_, bytes) => argumentStart(bytes))
/** Texts up to this length are names and numbers, usually ASCII. */
const SHORT = 100

function argumentStart(bytes: number): string {
  return `\r\n$${bytes}\r\n`
}

const likelyBytes = (text: string): number => (text.length > SHORT ? Buffer.byteLength(text) : text.length)

interface Encoded {
  readonly text: string
  /** Whether the bytes of all texts are right. */
  readonly isExact: boolean
}

function encodeBy(bytesOf: (text: string) => number, commands: readonly RedisCommand[]): Encoded {
  const parts: string[] = []
  /** Bytes beyond one for each character. */
  let more = 0
  for (const command of commands) {
    parts.push(`*${command.length}`)
    for (const each of command) {
      const text = typeof each === 'string' ? each : String(each)
      const bytes = bytesOf(text)
      more += bytes - text.length
      parts.push(ARGUMENT_STARTS[bytes] ?? argumentStart(bytes), text)
    }
    parts.push('\r\n')
  }
  // One join costs half of adding each part to a text.
  const text = parts.join('')
  return { text, isExact: Buffer.byteLength(text) === text.length + more }
}

/**
 * Encodes commands for RESP2 (redis.io/docs/latest/develop/reference/protocol-spec). Counting the bytes of each short text
 * would cost more than the rest, so one check of the whole tells whether all were ASCII.
 */
function encode(commands: readonly RedisCommand[]): string {
  const { text, isExact } = encodeBy(likelyBytes, commands)
  return isExact ? text : encodeBy(Buffer.byteLength, commands).text
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
