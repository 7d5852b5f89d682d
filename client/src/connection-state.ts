import type { ClientMessage } from '../../src/protocol/client-messages.ts'
import type { ServerMessage } from '../../src/protocol/server-messages.ts'
import type { Frame, Greeting } from './inbox.ts'
import type { ConnectionState, Fault } from './types.ts'

export type Transport = 'websocket' | 'sse'

/** Message for the inbox of a tab. */
export type Delivered = Frame | Greeting

/** How a link ended. Empty when nothing answers. */
export interface Ending {
  /** Close code, or status of a refusal. */
  readonly status?: number | undefined
  readonly retryAfterMs?: number
  /** Channels that the service refuses. */
  readonly refused?: readonly string[]
}

/** Events of timers. */
interface TimerEvents {
  /** Too late for this step of an attempt, time for the next one, or too long a silence. */
  main(): void
  /** Too late for a token, or for a link that replaces another one. */
  renew(): void
  /** Time to try what failed: channels on a WebSocket, a WebSocket on a stream. */
  again(): void
}

/** Events, as functions of what they carry. */
export interface Events extends TimerEvents {
  /** This tab has to connect. */
  start(): void
  /** Another tab connects, or the handlers are too far behind. */
  standby(): void
  /** The network is back, or somebody looks at the page. */
  wake(): void
  token(token: string): void
  noToken(message: string): void
  received(message: ServerMessage): void
  ended(ending: Ending): void
  want(channels: readonly string[]): void
  close(error?: Fault): void
}

/** Effects, as functions that carry them out. */
export interface Effects {
  /** Asks for a token. The answer to an earlier question is ignored. */
  ask(): void
  /** Opens a link. It replaces the open one once it is `connected`. */
  open(transport: Transport, token: string, channels: readonly string[]): void
  /** Ends links, question and timers: none of them raises an event any more. */
  drop(): void
  send(message: ClientMessage): void
  /** Starts the timer of this name again. */
  time(name: keyof TimerEvents, ms: number): void
  deliver(message: Delivered): void
}

type Calls<T> = {
  [Name in keyof T]: T[Name] extends (...args: infer Args) => void ? [Name, ...Args] : never
}[keyof T]
export type Event = Calls<Events>
export type Effect = Calls<Effects>

export interface State {
  readonly phase: 'idle' | 'standby' | 'asking' | 'opening' | 'online' | 'waiting' | 'closed'
  readonly transport: Transport
  /** Work beside the open link: asks for a token, or opens the link that replaces it. */
  readonly renewal?: 'asking' | 'link' | undefined
  /** Failed attempts since the last `connected`. */
  readonly failures: number
  /** Tokens refused in a row. */
  readonly refusals: number
  /** WebSockets in a row that ended without a message; far below 0 once one has worked, infinite without any. */
  readonly blocked: number
  /** The service asked to stay away until then. */
  readonly notBefore: number
  readonly retryAt: number
  readonly silenceMs: number
  readonly error?: Fault | undefined
  readonly channels: readonly string[]
  /** Channels whose notifications come. */
  readonly joined: readonly string[]
  readonly refused: readonly string[]
  /** Channels whose joining or leaving the service has not answered yet. */
  readonly asked: readonly string[]
}

/** More blocked WebSockets than ever count. */
export const NO_SOCKETS = Number.POSITIVE_INFINITY

export const INITIAL: State = {
  phase: 'idle',
  transport: 'websocket',
  failures: 0,
  refusals: 0,
  blocked: 0,
  notBefore: 0,
  retryAt: 0,
  silenceMs: 0,
  channels: [],
  joined: [],
  refused: [],
  asked: [],
}

export const snapshotOf = ({ phase, transport, retryAt, error }: State): ConnectionState => ({
  state: phase === 'standby' || phase === 'asking' || phase === 'opening' ? 'connecting' : phase,
  ...(phase === 'online' && { transport }),
  ...(phase === 'waiting' && { retryAt }),
  ...(error && { error }),
})

export const without = (all: readonly string[], some: readonly string[]): string[] =>
  all.filter(name => !some.includes(name))

/** Channels for which `ready` need not wait: the service has accepted or refused them. */
export const answeredOf = ({ joined, refused, asked }: State): readonly string[] =>
  without([...joined, ...refused], asked)

export const fault = (code: string, message = code): Fault => ({ code, message })

const ENDINGS: Readonly<Record<number, string>> = {
  401: 'UNAUTHORIZED',
  403: 'FORBIDDEN',
  429: 'RATE_LIMITED',
  1008: 'RATE_LIMITED',
  1012: 'SHUTTING_DOWN',
  1013: 'CONNECTION_LIMIT',
}

/** Names the fault behind the end of a link. Close codes from 4000 on are statuses, too. */
export const faultOf = (status: number): Fault =>
  fault(ENDINGS[status % 4000] ?? 'UNREACHABLE', `status ${status}`)
