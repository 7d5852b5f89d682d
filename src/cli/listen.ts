import { setTimeout } from 'node:timers/promises'
import type { Environment } from '../config/config.ts'
import { errorLine } from '../lib/error-line.ts'
import { JsonText } from '../lib/json/text.ts'
import { watchReader } from '../lib/system/reader.ts'
import { headerText, urlOf } from './address.ts'
import { NoAnswer, parsed } from './api.ts'
import { type Arguments, listOf, UsageError } from './options.ts'
import { readStream, type ServerEvent, StreamRefused } from './stream.ts'
import { OutputError, printable, STDOUT, type Terminal } from './terminal.ts'
import { tenantOf, tokenFor, userOf } from './token.ts'

/** Waits between attempts to reconnect, milliseconds. */
const FIRST_WAIT_MS = 500
const LONGEST_WAIT_MS = 10_000

/** The end of a stream after which reconnecting cannot help. */
class StreamEnded extends Error {}

interface ListenState {
  cursor: string | undefined
  /** True after the first `connected`: from then on a break is repaired. */
  hasConnected: boolean
  attempts: number
  /** Wait that the service asked for, milliseconds. */
  waitMs: number | undefined
}

/** Text of a notification on one line, with the digits of the payload as sent. */
function lineOf({ data, id }: ServerEvent): string {
  const { occurred_at: at, event_type: type } = parsed(data) ?? {}
  const place = id === undefined ? '' : `  ${id}`
  return printable(`${at}  ${type}  ${JsonText.of(data).get('payload')?.text}${place}`)
}

/** Resolves after the time or when the signal aborts. */
const wait = (ms: number, signal: AbortSignal): Promise<void> =>
  setTimeout(ms, undefined, { signal }).catch(() => {})

/** Resolves with false when the signal aborts first: the reader of stdout may be stuck. */
async function orAborted(writing: Promise<boolean>, signal: AbortSignal): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const stop = (): void => resolve(false)
  signal.addEventListener('abort', stop)
  try {
    return await Promise.race([writing, promise])
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

const isFinal = (error: unknown, { hasConnected }: ListenState): boolean =>
  error instanceof StreamEnded ||
  error instanceof OutputError ||
  !hasConnected ||
  (error instanceof StreamRefused && error.status < 500 && error.status !== 429)

/** Full jitter: clients of one outage do not come back together. */
const backOff = (attempts: number): number =>
  FIRST_WAIT_MS + Math.random() * Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** attempts)

/** The value of `--token`, without a final line break. */
const tokenOf = (args: Arguments): string | undefined => {
  const token = args.text('token')?.trim()
  return token === undefined ? undefined : headerText('--token', token)
}

/** `listen`: prints notifications until a signal; resumes after breaks. */
export async function listen(
  args: Arguments,
  env: Environment,
  terminal: Terminal,
  signalled: Promise<string>,
): Promise<number> {
  const [given, user] = [tokenOf(args), userOf(args)]
  if ((given === undefined) === (user === undefined)) throw new UsageError('expected --user or --token')
  const tenant = tenantOf(args)
  const channels = listOf(args, 'channels')
  const url = urlOf(args, env)
  const isJson = args.flag('json')
  const stopping = new AbortController()
  const { signal } = stopping
  void signalled.then(() => stopping.abort())
  const state: ListenState = {
    cursor: args.text('cursor'),
    hasConnected: false,
    attempts: 0,
    waitMs: undefined,
  }

  const tellConnected = async ({ data }: ServerEvent): Promise<void> => {
    const { user_id: name, cursor, recovered, reason, replayed } = parsed(data) ?? {}
    if (typeof cursor === 'string') state.cursor = cursor
    state.hasConnected = true
    state.attempts = 0
    const gap = recovered === false ? `; entries may be missing (${reason})` : ''
    await terminal.note(printable(`Connected as ${name}, ${replayed} retained${gap}`))
  }

  const endOf = ({ data }: ServerEvent): void => {
    const { code, message } = parsed(data) ?? {}
    if (code === 'UNAUTHORIZED' && given === undefined) return
    throw new StreamEnded(printable(`${code}: ${message}`))
  }

  const handle = async (event: ServerEvent): Promise<void> => {
    switch (event.event) {
      case 'connected':
        return await tellConnected(event)
      case 'notification':
        // A notification that was not printed stays behind the cursor.
        if (await orAborted(terminal.print(isJson ? printable(event.data) : lineOf(event)), signal))
          state.cursor = event.id ?? state.cursor
        else stopping.abort()
        return
      case 'shutdown': {
        const seconds = parsed(event.data)?.['reconnect_after_seconds']
        state.waitMs = typeof seconds === 'number' ? seconds * 1_000 : undefined
        return
      }
      case 'error':
        return endOf(event)
      default:
    }
  }

  const connect = async (): Promise<void> => {
    const token = given ?? (await tokenFor(env, { user: user ?? '', tenant, channels }))
    for await (const event of readStream({ url, token, cursor: state.cursor, channels, signal })) {
      await handle(event)
      if (signal.aborted) return
    }
  }

  /** Returns the reason if reconnecting may help; otherwise throws the error. */
  const recover = (error: unknown): string => {
    if (signal.aborted) return ''
    if (isFinal(error, state)) throw error
    if (error instanceof StreamRefused && error.retryAfterSeconds !== undefined)
      state.waitMs = error.retryAfterSeconds * 1_000
    return ` (${error instanceof NoAnswer ? error.reason : errorLine(error)})`
  }

  const stopWatching = watchReader(STDOUT, () => stopping.abort())
  try {
    while (!signal.aborted) {
      const reason = (await connect().catch(recover)) ?? ''
      if (signal.aborted) break
      const ms = state.waitMs ?? backOff(state.attempts++)
      state.waitMs = undefined
      await terminal.note(`Disconnected, reconnecting in ${(ms / 1_000).toFixed(1)} s${reason}`)
      await wait(ms, signal)
    }
    return 0
  } finally {
    stopWatching()
    if (state.hasConnected && state.cursor !== undefined)
      await terminal.note(`Last cursor: ${state.cursor} (continue with --cursor ${state.cursor})`)
  }
}
