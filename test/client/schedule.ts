import type { createClient as CreateClient } from '../../client/src/index.ts'
import type { Client, Socket } from '../../client/src/types.ts'
import { createRandom, type Random } from '../support/random.ts'

/** The client under test: the real one, or a mutant. */
export interface Parts {
  readonly createClient: typeof CreateClient
}

interface Events {
  e: unknown
}

interface Entry {
  readonly id: string
  readonly seq: number
  /** Deliveries to live WebSockets, and when the last one was. */
  attempts: number
  handedAt: number
}

const HEARTBEAT_MS = 30_000
/** More than any trouble takes. */
const JOINED_AFTER_MS = 200_000
const ACK_TIMEOUT_MS = 40_000
const CHANNELS = ['red', 'green', 'blue', 'secret'] as const
/** The token of the user does not allow it. */
const REFUSED = 'secret'
const RETRY_AFTER_SECONDS = 5
/** More than a message and its answer take. */
const SETTLED_MS = 20
/** More than the time that a blocked WebSocket takes, and less than the time to the next one. */
const REPLACED_MS = 5_000
const CLOSED = 3
const turn = (): Promise<void> => new Promise(setImmediate)

interface Task {
  readonly at: number
  readonly run: () => void
  isOff: boolean
}

/** Time that moves from task to task. Tasks of one moment run in the order in which they were planned. */
class Timeline {
  now = 1_000_000
  #tasks: Task[] = []

  after(ms: number, run: () => void): Task {
    const task = { at: this.now + ms, run, isOff: false }
    const at = this.#tasks.findIndex(other => other.at > task.at)
    this.#tasks.splice(at === -1 ? this.#tasks.length : at, 0, task)
    return task
  }

  /** Runs the next task, unless it is due after `until`. */
  async step(until: number): Promise<boolean> {
    const task = this.#tasks[0]
    if (task === undefined || task.at > until) {
      this.now = until
      return false
    }
    this.#tasks.shift()
    this.now = task.at
    if (!task.isOff) {
      task.run()
      await turn()
    }
    return true
  }
}

/** One connection as the server sees it. */
class Connection {
  readonly transport: 'websocket' | 'sse'
  readonly channels = new Set<string>()
  isExpiring = false
  position = 0
  isOpen = true
  readonly since: number
  /** The client has ended it, knows of its end, or will never hear of it. */
  isGone = false
  readonly #world: World
  readonly #receive: (message: object) => void
  readonly #finish: (code: number) => void

  constructor(
    world: World,
    transport: 'websocket' | 'sse',
    receive: (message: object) => void,
    finish: (code: number) => void,
  ) {
    this.#world = world
    this.transport = transport
    this.since = world.time.now
    this.#receive = receive
    this.#finish = finish
  }

  /** Arrives after a moment, in order, unless the network fails first. */
  tell(message: object): void {
    this.#world.time.after(5, () => {
      if (!this.isGone) this.#receive(message)
    })
  }

  end(code: number): void {
    if (!this.isOpen) return
    this.isOpen = false
    this.#world.connections.delete(this)
    this.#world.time.after(5, () => {
      if (this.isGone) return
      this.isGone = true
      this.#finish(code)
    })
  }
}

/** A service, a network, a page and a user, all by chance. */
class World {
  readonly time = new Timeline()
  readonly random: Random
  readonly faults: string[] = []
  readonly connections = new Set<Connection>()
  network: 'works' | 'down' | 'hole' = 'works'
  isBlocked = false
  isFull = false
  isDraining = false
  tokens: 'works' | 'fails' | 'hangs' = 'works'
  /** Tokens to come that the service refuses. */
  badTokens = 0
  hasEnded = false
  readonly hasAcks: boolean

  readonly #parts: Parts
  #epoch = 'e0'
  #lives = 1
  #log: Entry[] = []
  #head = 0
  #removedThrough = 0
  #ids = 0
  readonly #all: string[] = []
  readonly #acked = new Set<string>()
  /** Entries that no client can get any more. */
  readonly #excused = new Set<string>()
  readonly #handledEver = new Set<string>()
  readonly #settledEver = new Set<string>()
  /** Tokens that no attempt has used, and their questions. */
  readonly #issued = new Map<string, number>()
  /** Calls of the token function. */
  #questions = 0
  /** Connections and attempts of the client. */
  readonly #open = new Set<object>()
  #timers = 0

  // During this life of the page.
  #client: Client<Events> | undefined
  #life = 0
  #stored: string | undefined
  #subscriptions: { readonly name: string; readonly leave: () => void }[] = []
  #handled = new Set<string>()
  #lastSeq = new Map<string, number>()
  #isBusy = false
  /** When the page last joined or left a channel. */
  #changedAt = 0
  /** This connection has told that acknowledgements are off. */
  #isToldOff = false
  #gaps = 0
  #gapsTold = 0
  /** A refusal may have ended the client. */
  #mayEnd = false
  #refusals = 0
  #waits = 0
  #stayAwayUntil = 0
  #retryAt = 0
  #lastRandom = 0
  #sockets = 0
  hasWebSocketWorked = false

  constructor(parts: Parts, seed: number) {
    this.#parts = parts
    this.random = createRandom(seed)
    this.hasAcks = this.random.chance(0.5)
  }

  fault(text: string): void {
    this.faults.push(text)
  }

  // The service

  send(count: number): void {
    for (let n = 0; n < count; n++) this.#append()
    for (const connection of this.connections) this.#catchUp(connection)
  }

  #append(): void {
    const entry = { id: `n${this.#ids++}`, seq: ++this.#head, attempts: 0, handedAt: 0 }
    this.#log.push(entry)
    this.#all.push(entry.id)
  }

  #frame({ id, seq, attempts }: Entry, isAgain: boolean): object {
    return {
      type: 'notification',
      id,
      event_type: 'e',
      payload: seq,
      cursor: `${this.#epoch}:${seq}`,
      ...(isAgain && { redelivered: attempts - 1 }),
    }
  }

  #catchUp(connection: Connection): void {
    for (const entry of this.#log.filter(({ seq }) => seq > connection.position)) {
      connection.position = entry.seq
      entry.attempts++
      entry.handedAt = this.time.now
      connection.tell(this.#frame(entry, false))
    }
  }

  publish(name: string): void {
    const frame = { type: 'notification', id: `c${this.#ids++}`, event_type: 'e', payload: name }
    for (const connection of this.connections) if (connection.channels.has(name)) connection.tell(frame)
  }

  redeliver(): void {
    if (!this.hasAcks) return
    for (const connection of this.connections)
      for (const entry of this.#log) {
        const isDue = this.time.now - entry.handedAt > ACK_TIMEOUT_MS
        if (connection.transport === 'sse' || entry.seq > connection.position || !isDue) continue
        if (this.#acked.has(entry.id)) continue
        entry.attempts++
        entry.handedAt = this.time.now
        connection.tell(this.#frame(entry, true))
      }
  }

  /** The log is lost, or comes back from a copy under another name. */
  replaceLog(isCopy: boolean): void {
    for (const connection of this.connections) connection.end(1006)
    this.#epoch = `e${this.#lives++}`
    if (isCopy) return
    for (const { id } of this.#log) this.#excused.add(id)
    this.#log = []
    this.#head = 0
    this.#removedThrough = 0
  }

  trim(): void {
    const oldest = this.#log.shift()
    if (oldest === undefined) return
    this.#removedThrough = oldest.seq
    this.#excused.add(oldest.id)
    for (const connection of this.connections) if (connection.position < oldest.seq) connection.end(1006)
  }

  #greet(connection: Connection, url: string): void {
    const query = new URL(url.replace('ws:', 'http:')).searchParams
    const cursor = query.get('cursor') ?? ''
    for (const name of namesIn(query)) connection.channels.add(name)
    const [epoch, digits] = cursor.split(':')
    const seq = Number(digits)
    const isKnown = epoch === this.#epoch && seq <= this.#head
    const start = isKnown ? seq : 0
    const reason =
      cursor !== '' && !isKnown
        ? 'epoch_changed'
        : cursor !== '' && start < this.#removedThrough
          ? 'trimmed'
          : undefined
    connection.position = Math.max(start, this.#removedThrough)
    connection.tell({
      type: 'connected',
      connection_id: 'c',
      user_id: 'u',
      cursor: `${this.#epoch}:${connection.position}`,
      recovered: reason === undefined,
      ...(reason && { reason }),
      replayed: this.#head - connection.position,
      expires_in: 3600,
      heartbeat_seconds: HEARTBEAT_MS / 1000,
      ...(connection.channels.size > 0 && { channels: [...connection.channels] }),
    })
    this.connections.add(connection)
    this.#catchUp(connection)
    this.#beat(connection)
  }

  #beat(connection: Connection): void {
    this.time.after(HEARTBEAT_MS, () => {
      if (!connection.isOpen) return
      connection.tell({ type: 'heartbeat' })
      this.#beat(connection)
    })
  }

  hear(connection: Connection, text: string): void {
    const { type, payload } = JSON.parse(text)
    this.time.after(5, () => {
      if (!connection.isOpen || connection.isGone) return
      if (type === 'Subscribe') {
        const joined = payload.channels.filter((name: string) => name !== REFUSED)
        for (const name of joined) connection.channels.add(name)
        if (joined.length > 0) connection.tell({ type: 'subscribed', payload: joined })
        if (joined.length < payload.channels.length)
          connection.tell({ type: 'error', code: 'SUBSCRIPTION_ERROR', message: REFUSED })
      }
      if (type === 'Unsubscribe') {
        for (const name of payload.channels) connection.channels.delete(name)
        connection.tell({ type: 'unsubscribed', payload: payload.channels })
      }
      if (type === 'Ack') {
        if (this.#isToldOff) this.fault('an acknowledgement that the service does not want')
        this.#ack([payload.notification_id])
      }
      if (type !== 'Auth') return
      this.#issued.delete(payload.token)
      connection.isExpiring = payload.token.includes('bad')
      connection.tell(
        connection.isExpiring
          ? { type: 'error', code: 'UNAUTHORIZED', message: 'bad' }
          : { type: 'authenticated', expires_in: 3600 },
      )
    })
  }

  #ack(ids: readonly string[]): void {
    for (const id of ids) {
      if (!this.#handledEver.has(id)) this.fault(`${id} was acknowledged, but not handled`)
      this.#acked.add(id)
    }
  }

  // The client's view of it

  /** An attempt begins, with this token. */
  #attempt(transport: 'websocket' | 'sse', token: string, address: string, here: object): void {
    if (address.includes(token)) this.fault('a token is in a URL')
    if (this.#issued.get(token) !== this.#questions) this.fault('an attempt does not wait for its own token')
    this.#issued.delete(token)
    if (this.time.now < this.#stayAwayUntil) this.fault('an attempt begins before its time')
    if (this.hasEnded) this.fault('a closed client connects')
    if (this.#mayEnd) this.fault('an attempt after it was refused for good')
    // A stream stays open until the next link has replaced it, and for a moment then.
    const mayReplace = this.#client?.connection.transport === 'sse'
    if (this.#open.size > (mayReplace ? 2 : 0)) this.fault('too many connections at once')
    if (transport === 'websocket') this.#sockets++
    else if (this.hasWebSocketWorked || this.#sockets < 2) this.fault('a stream, though WebSockets may work')
    this.#open.add(here)
  }

  /** Why the service refuses; undefined if it does not. */
  #refusal(token: string): number | undefined {
    if (token.includes('bad')) return 401
    if (this.isDraining) return 503
    return this.isFull ? 429 : undefined
  }

  /** The client learns why it was refused. */
  #refused(status: number): Response {
    if (status === 401 && ++this.#refusals >= 2) this.#mayEnd = true
    const isBusy = status === 503 || status === 429
    if (isBusy) this.#stayAway(RETRY_AFTER_SECONDS)
    const headers = isBusy ? { 'retry-after': String(RETRY_AFTER_SECONDS) } : {}
    return new Response(null, { status, headers })
  }

  #stayAway(seconds: number): void {
    this.#stayAwayUntil = Math.max(this.#stayAwayUntil, this.time.now + seconds * 1000)
  }

  /** The client receives this. */
  #told(transport: 'websocket' | 'sse', message: object): void {
    // A stream stays in use when a full service refuses the WebSocket that is to replace it.
    const isTrial = this.#client?.connection.transport === 'sse'
    if (transport === 'websocket' && !(isTrial && 'code' in message)) this.hasWebSocketWorked = true
    if ('code' in message && message.code === 'FORBIDDEN') this.#mayEnd = true
    if ('reconnect_after_seconds' in message)
      this.#stayAwayUntil = this.time.now + Number(message.reconnect_after_seconds) * 1000
    if (!('heartbeat_seconds' in message)) return
    this.#refusals = 0
    this.#waits = 0
    this.#isToldOff = false
    if ('reason' in message) this.#gapsTold++
  }

  readonly WebSocket: new (url: string, protocols: string[]) => Socket = (() => {
    const world = this
    return class FakeSocket implements Socket {
      readyState = 0
      onopen: (() => void) | null = null
      onmessage: ((event: { readonly data: string }) => void) | null = null
      onclose: ((event: { readonly code: number }) => void) | null = null
      #connection: Connection | undefined

      constructor(url: string, [, token = '']: string[]) {
        world.#attempt('websocket', token, url, this)
        const life = world.#life
        world.time.after(10, () => {
          if (world.#life !== life || this.readyState === CLOSED || world.network === 'hole') return
          const refusal = world.#refusal(token)
          // A full service upgrades and then says so.
          const isRefused = refusal !== undefined && refusal !== 429
          if (world.network === 'down' || world.isBlocked || isRefused) return this.#end(1006)
          this.readyState = 1
          this.onopen?.()
          const take = (message: object) => this.#take(message)
          this.#connection = new Connection(world, 'websocket', take, code => this.#end(code))
          if (refusal === undefined) return world.#greet(this.#connection, url)
          this.#connection.tell({ type: 'error', code: 'CONNECTION_LIMIT', message: 'full' })
          this.#connection.end(1013)
        })
      }

      #take(message: object): void {
        world.#told('websocket', message)
        this.onmessage?.({ data: JSON.stringify(message) })
      }

      #end(code: number): void {
        if (code === 4403) world.#mayEnd = true
        world.#open.delete(this)
        this.readyState = CLOSED
        this.onclose?.({ code })
      }

      send(text: string): void {
        if (this.#connection) world.hear(this.#connection, text)
      }

      close(): void {
        world.#open.delete(this)
        this.readyState = CLOSED
        if (!this.#connection) return
        this.#connection.isGone = true
        this.#connection.end(1000)
      }
    }
  })()

  readonly fetch = async (url: string, { headers, body, signal }: RequestInit = {}): Promise<Response> => {
    const token = new Headers(headers).get('authorization')?.slice('Bearer '.length) ?? ''
    const { pathname } = new URL(url)
    const here = {}
    const gone = Promise.withResolvers<never>()
    gone.promise.catch(() => {})
    signal?.addEventListener('abort', () => {
      this.#open.delete(here)
      gone.reject(new Error('aborted'))
    })
    if (pathname === '/sse') this.#attempt('sse', token, url, here)
    await Promise.race([gone.promise, this.#pause(10)])
    if (signal?.aborted) throw new Error('aborted')
    this.#open.delete(here)
    if (this.network === 'down') throw new Error('no network')
    if (pathname.endsWith('/acks')) {
      const ids = JSON.parse(String(body)).notification_ids
      this.#ack(ids)
      this.#isToldOff = !this.hasAcks
      return Response.json({ acked: this.hasAcks ? ids : [], invalid: [] })
    }
    const status = this.#refusal(token) ?? (pathname === '/ws' ? 426 : 200)
    if (status !== 200) return this.#refused(status)
    const refused = namesIn(new URL(url).searchParams).indexOf(REFUSED)
    if (refused >= 0)
      return Response.json(
        {
          error: {
            code: 'FORBIDDEN',
            message: 'no',
            details: [{ path: `channels[${refused}]`, message: 'no' }],
          },
        },
        { status: 403 },
      )
    this.#open.add(here)
    return this.#stream(url, here, signal)
  }

  async #sleep(ms: number): Promise<void> {
    await new Promise<void>(resolve => this.time.after(ms, () => resolve()))
  }

  async #pause(ms: number): Promise<void> {
    await this.#sleep(ms)
    if (this.network === 'hole') await new Promise(() => {})
  }

  #stream(url: string, here: object, signal: AbortSignal | null | undefined): Response {
    const encoder = new TextEncoder()
    const body = new ReadableStream<Uint8Array>({
      start: controller => {
        const connection = new Connection(
          this,
          'sse',
          message => {
            this.#told('sse', message)
            controller.enqueue(encoder.encode(`event: x\ndata: ${JSON.stringify(message)}\n\n`))
          },
          () => {
            this.#open.delete(here)
            controller.close()
          },
        )
        signal?.addEventListener('abort', () => {
          connection.isGone = true
          connection.end(1000)
        })
        this.#greet(connection, url)
      },
    })
    return new Response(body)
  }

  async token(): Promise<string> {
    const question = ++this.#questions
    if (this.tokens === 'hangs') await new Promise(() => {})
    const isSlow = this.tokens === 'works' && this.random.chance(0.1)
    const ms = isSlow ? this.random.whole(10, 25_000) : 10
    // Tokens come from another server, which may answer though the service does not.
    if (this.random.chance(0.5)) await this.#pause(ms)
    else await this.#sleep(ms)
    if (this.tokens === 'fails') throw new Error('no token')
    const isBad = this.badTokens > 0
    if (isBad) this.badTokens--
    const token = `h.${btoa(JSON.stringify({ sub: 'u' }))}.${isBad ? 'bad' : 'good'}${this.#ids++}`
    this.#issued.set(token, question)
    return token
  }

  // The page

  open(): void {
    const life = ++this.#life
    this.#handled = new Set()
    this.#lastSeq = new Map()
    this.#isBusy = false
    this.#gaps = 0
    this.#gapsTold = 0
    this.#mayEnd = false
    this.hasEnded = false
    this.#refusals = 0
    this.#waits = 0
    this.#stayAwayUntil = 0
    this.#sockets = 0
    this.hasWebSocketWorked = false
    this.#timers = 0
    const isHere = () => life === this.#life
    const client = this.#parts.createClient<Events>({
      url: 'http://service',
      token: () => this.token(),
      cursor: { load: () => this.#stored, save: cursor => isHere() && this.#save(cursor) },
      onError: () => {},
      WebSocket: this.WebSocket,
      fetch: (url, init) => (isHere() ? this.fetch(url, init) : Promise.reject(new Error('unloaded'))),
      random: () => {
        this.#lastRandom = this.random.whole(0, 999) / 1000
        return this.#lastRandom
      },
      clock: {
        now: () => this.time.now,
        setTimeout: (run, ms) => {
          if (isHere()) this.#timers++
          const task = this.time.after(ms, () => {
            if (!isHere()) return
            task.isOff = true
            this.#timers--
            run()
          })
          return task
        },
        clearTimeout: timer => {
          const task = timer as Task | undefined
          if (!isHere() || task === undefined || task.isOff) return
          task.isOff = true
          this.#timers--
        },
      },
    })
    this.#client = client
    client.onGap(() => this.#gaps++)
    client.watch(() => isHere() && this.#watch(client))
    client.on('e', ({ id, cursor, redelivered }) => this.#handle(id, cursor, redelivered))
    for (const { name } of this.#subscriptions.splice(0)) this.subscribe(name)
  }

  #watch({ connection: { state, retryAt = 0, error } }: Client<Events>): void {
    if (state === 'closed') {
      this.hasEnded = true
      if (!this.#mayEnd) this.fault(`closed by ${error?.code}`)
    }
    // A watcher may also be called without a change.
    if (state !== 'waiting' || retryAt === this.#retryAt) return
    this.#retryAt = retryAt
    const backoff = this.#lastRandom * Math.min(20_000, 500 * 2 ** this.#waits++)
    const due = Math.max(this.#stayAwayUntil, this.time.now + backoff)
    if (Math.abs(retryAt - due) > 0.001)
      this.fault(`waits ${retryAt - this.time.now}, not ${due - this.time.now}`)
  }

  async #handle(id: string, cursor: string | undefined, redelivered: number | undefined): Promise<void> {
    if (this.#handled.has(id)) this.fault(`${id} was handled twice`)
    if (this.#isBusy) this.fault(`${id} was handled beside another one`)
    if (cursor !== undefined && redelivered === undefined) {
      const [epoch = '', digits] = cursor.split(':')
      const last = this.#lastSeq.get(epoch) ?? 0
      if (Number(digits) <= last) this.fault(`${cursor} came after ${last}`)
      this.#lastSeq.set(epoch, Number(digits))
    }
    const life = this.#life
    this.#isBusy = true
    if (this.random.chance(0.3)) {
      const ms = this.random.chance(0.05) ? 2 * ACK_TIMEOUT_MS : this.random.whole(1, 3_000)
      await new Promise<void>(resolve => this.time.after(ms, () => resolve()))
    }
    if (life !== this.#life) return
    this.#isBusy = false
    this.#settledEver.add(id)
    if (this.hasAcks && this.random.chance(0.1)) throw new Error('not this time')
    this.#handled.add(id)
    this.#handledEver.add(id)
  }

  #save(cursor: string): void {
    this.#stored = cursor
    const [epoch, digits] = cursor.split(':')
    if (epoch !== this.#epoch) return
    for (const { id, seq } of this.#log)
      if (seq <= Number(digits) && !this.#settledEver.has(id))
        this.fault(`saved ${cursor} before ${id} was handled`)
  }

  /** The page is loaded again; nothing of the old one runs any more. */
  reload(): void {
    for (const connection of this.connections) {
      connection.isGone = true
      connection.end(1006)
    }
    this.#open.clear()
    const old = this.#client
    this.open()
    // It hears nothing of the world any more, but the world must not wake it.
    old?.close()
  }

  subscribe(name: string): void {
    this.#changedAt = this.time.now
    if (this.#client) this.#subscriptions.push({ name, leave: this.#client.subscribe(name) })
  }

  /** Components come and go before the service has answered; in the end one has the channel. */
  flicker(name: string): void {
    const comeAndGo = (times: number) => {
      if (!this.#leave(name)) this.subscribe(name)
      this.time.after(this.random.whole(1, 6), () => {
        if (times > 0) comeAndGo(times - 1)
        else void this.#settle(name)
      })
    }
    comeAndGo(this.random.whole(0, 8))
  }

  /** Gives up one subscription of a channel; false without one. */
  #leave(name: string): boolean {
    this.#changedAt = this.time.now
    const at = this.#subscriptions.findIndex(subscription => subscription.name === name)
    if (at >= 0) this.#subscriptions.splice(at, 1)[0]?.leave()
    return at >= 0
  }

  /** Once the client is ready, the page receives what its channels carry. */
  async #settle(name: string): Promise<void> {
    this.subscribe(name)
    const changedAt = this.#changedAt
    const isReady = await this.#client?.ready().then(
      () => true,
      () => false,
    )
    const check = () => {
      const names = this.#names()
      const live = [...this.connections].filter(({ isGone }) => !isGone)
      const isIn = live.some(({ channels }) => names.every(wanted => channels.has(wanted)))
      if (changedAt === this.#changedAt && live.length > 0 && !isIn) this.fault(`ready, but not in ${names}`)
    }
    // The streams that follow name their channels before they begin; a new WebSocket joins them afterwards.
    const checkStream = () => {
      if (this.#client?.connection.transport === 'sse') check()
    }
    if (!isReady) return
    for (let ms = 0; ms < SETTLED_MS; ms++) this.time.after(ms, check)
    for (let ms = SETTLED_MS; ms < REPLACED_MS; ms += SETTLED_MS) this.time.after(ms, checkStream)
  }

  /** A connection that is open for long has the channels of the page. */
  checkChannels(): void {
    const names = this.#names().join()
    for (const { since, isGone, channels } of this.connections) {
      const isSettled = this.time.now - Math.max(since, this.#changedAt) > JOINED_AFTER_MS
      const joined = [...channels].sort().join()
      if (isSettled && !isGone && joined !== names) this.fault(`in ${joined}, not in ${names}`)
    }
  }

  /** Channels of the page that it may join. */
  #names(): readonly string[] {
    const names = new Set(this.#subscriptions.map(({ name }) => name))
    return [...names].filter(name => name !== REFUSED).sort()
  }

  unsubscribe(): void {
    const [oldest] = this.#subscriptions
    if (oldest) this.#leave(oldest.name)
  }

  wake(): void {
    const { state } = this.#client?.connection ?? {}
    const mayTry = state === 'waiting' && this.time.now >= this.#stayAwayUntil
    const dispatch: (event: Event) => void = Reflect.get(globalThis, 'dispatchEvent')
    dispatch(new Event('online'))
    const expected = mayTry ? 'connecting' : state
    if (this.#client?.connection.state !== expected) this.fault(`woken while ${state}`)
  }

  // Trouble

  #later(ms: number, end: () => void): void {
    this.time.after(this.random.whole(1, ms), end)
  }

  cut(code: 1006 | 4401): void {
    for (const connection of this.connections) {
      if (code === 4401 && connection.transport === 'sse')
        connection.tell({ type: 'error', code: 'UNAUTHORIZED', message: 'expired' })
      connection.end(code)
    }
  }

  /** The backend disconnects the user. */
  kick(): void {
    for (const connection of this.connections) {
      if (connection.transport === 'sse')
        connection.tell({ type: 'error', code: 'FORBIDDEN', message: 'disconnected' })
      connection.end(4403)
    }
  }

  goDown(): void {
    this.network = 'down'
    this.cut(1006)
    this.#later(60_000, () => {
      this.network = 'works'
    })
  }

  /** The network swallows everything; the connections of now never speak again. */
  swallow(): void {
    this.network = 'hole'
    for (const connection of this.connections) connection.isGone = true
    const life = this.#life
    const silent = [...this.#open]
    this.time.after(2 * HEARTBEAT_MS + 100, () => {
      if (life === this.#life && silent.some(open => this.#open.has(open)))
        this.fault('a dead network goes unnoticed')
    })
    this.#later(90_000, () => {
      this.network = 'works'
    })
  }

  block(): void {
    this.isBlocked = true
    if (this.random.chance(0.5)) this.cut(1006)
    this.#later(120_000, () => {
      this.isBlocked = false
    })
  }

  fill(): void {
    this.isFull = true
    this.#later(40_000, () => {
      this.isFull = false
    })
  }

  drain(): void {
    this.isDraining = true
    const seconds = this.random.whole(1, 8)
    for (const connection of this.connections) {
      connection.tell({ type: 'shutdown', reason: 'drain', reconnect_after_seconds: seconds })
      connection.end(1012)
    }
    this.#later(4_000, () => {
      this.isDraining = false
    })
  }

  failTokens(): void {
    this.tokens = this.random.pick(['fails', 'hangs'])
    this.#later(40_000, () => {
      this.tokens = 'works'
    })
  }

  refuseTokens(): void {
    this.badTokens += this.random.whole(1, 2)
  }

  /** The token of each connection is about to expire. */
  warn(): void {
    for (const connection of this.connections) {
      connection.tell({ type: 'token_expiring', in: 25 })
      this.#expectRenewal(connection)
      connection.isExpiring = true
      this.time.after(85_000, () => {
        if (connection.isOpen && connection.isExpiring && connection.transport === 'websocket') {
          connection.end(4401)
        }
      })
    }
  }

  /** A token is asked for at once, and again when there is none. */
  #expectRenewal(connection: Connection): void {
    const [life, before, wasFailing] = [this.#life, this.#questions, this.tokens === 'fails']
    this.time.after(20_000, () => {
      if (life !== this.#life || connection.isGone || connection.transport === 'sse') return
      const least = wasFailing && this.tokens === 'fails' ? 2 : 1
      if (this.#questions - before < least) this.fault('a token is not renewed')
    })
  }

  /** Ends all trouble, except for WebSockets that have never worked. */
  calm(): void {
    this.network = 'works'
    this.tokens = 'works'
    this.badTokens = 0
    this.isFull = false
    this.isDraining = false
    this.isBlocked = !this.hasWebSocketWorked && this.random.chance(0.5)
  }

  /** After a calm time all promises are kept. */
  check(): void {
    if (this.hasEnded || this.#mayEnd) return
    const { state, transport } = this.#client?.connection ?? {}
    const wanted = this.isBlocked ? 'sse' : 'websocket'
    if (state !== 'online' || transport !== wanted) this.fault(`${state} by ${transport}`)
    // A stream sends nothing again after a handler has failed.
    const isDone = (id: string) => this.#handledEver.has(id) || (this.isBlocked && this.#settledEver.has(id))
    const lost = this.#all.filter(id => !isDone(id) && !this.#excused.has(id))
    if (lost.length > 0) this.fault(`lost: ${lost}`)
    if (this.#gaps !== this.#gapsTold) this.fault(`reported ${this.#gaps} of ${this.#gapsTold} gaps`)
    const unsaid = this.#log.filter(({ id }) => this.#handledEver.has(id) && !this.#acked.has(id))
    if (this.hasAcks && !this.isBlocked && unsaid.length > 0)
      this.fault(`not acknowledged: ${unsaid.map(({ id }) => id)}`)
    const live = [...this.connections].filter(({ isGone }) => !isGone)
    if (live.length !== 1) this.fault(`${live.length} connections`)
    const subscribed = [...(live[0]?.channels ?? [])].sort().join()
    const names = this.#names().join()
    if (subscribed !== names) this.fault(`in ${subscribed}, not in ${names}`)
    const isTold = this.#client?.connection.error?.code === 'SUBSCRIPTION_ERROR'
    if (this.#subscriptions.some(({ name }) => name === REFUSED) && !isTold)
      this.fault('a refused channel does not show')
    const saved = this.#stored ?? ''
    if (this.#head > 0 && saved !== `${this.#epoch}:${this.#head}`) this.fault(`saved ${saved}`)
  }

  get isBeingReplaced(): boolean {
    return this.connections.size > 1
  }

  get isOnline(): boolean {
    return this.#client?.connection.state === 'online'
  }

  close(): void {
    this.#mayEnd = true
    this.#client?.close()
  }

  checkClosed(): void {
    const { state } = this.#client?.connection ?? {}
    if (state !== 'closed') this.fault(`${state} after the end`)
    if (this.#open.size > 0) this.fault('a connection outlives its client')
    if (this.#timers > 0) this.fault(`${this.#timers} timers outlive their client`)
  }
}

const namesIn = (query: URLSearchParams): readonly string[] =>
  query
    .get('channels')
    ?.split(',')
    .filter(name => name !== '') ?? []

const EVENTS: readonly [(world: World) => void, ...((world: World) => void)[]] = [
  world => world.send(1),
  world => world.send(1),
  world => world.send(6),
  world => world.publish(world.random.pick(CHANNELS)),
  world => world.subscribe(world.random.pick(CHANNELS)),
  world => world.unsubscribe(),
  world => world.flicker(world.random.pick(CHANNELS)),
  world => world.cut(1006),
  world => world.cut(4401),
  world => world.goDown(),
  world => world.swallow(),
  world => world.block(),
  world => world.fill(),
  world => world.drain(),
  world => world.failTokens(),
  world => world.warn(),
  world => world.refuseTokens(),
  world => world.replaceLog(world.random.chance(0.5)),
  world => world.trim(),
  world => world.wake(),
  world => world.reload(),
]

const TROUBLE_MS = 400_000
/** Enough for the last outage, a WebSocket to be tried again, and some redeliveries. */
const CALM_MS = 700_000
const TRIAL_ENDS_MS = 60_000
const REDELIVERY_TICK_MS = 10_000

/** Plays one schedule and returns the promises that were broken. */
export async function play(parts: Parts, seed: number): Promise<readonly string[]> {
  const world = new World(parts, seed)
  const { time, random, faults } = world
  const begin = time.now
  const run = async (until: number) => {
    while (faults.length === 0 && (await time.step(until)));
  }
  for (let n = random.whole(4, 24); n > 0; n--)
    time.after(random.whole(0, TROUBLE_MS), () => {
      if (!world.hasEnded) random.pick(EVENTS)(world)
    })
  if (random.chance(0.2)) world.block()
  if (random.chance(0.1)) time.after(random.whole(0, TROUBLE_MS), () => world.kick())
  for (let ms = 0; ms < TROUBLE_MS + CALM_MS; ms += REDELIVERY_TICK_MS)
    time.after(ms, () => {
      world.redeliver()
      world.checkChannels()
    })
  world.open()
  await run(begin + TROUBLE_MS)
  world.calm()
  await run(begin + TROUBLE_MS + CALM_MS)
  // It may be trying a WebSocket, which is still blocked, at this moment.
  if (world.isBlocked && !world.isOnline) await run(time.now + TRIAL_ENDS_MS)
  if (world.isBeingReplaced) await run(time.now + REPLACED_MS)
  if (faults.length === 0) world.check()
  world.close()
  await run(time.now + HEARTBEAT_MS)
  if (faults.length === 0) world.checkClosed()
  return faults
}
