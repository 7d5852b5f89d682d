import { API_KEY, type TestApp } from '../support/app.ts'
import { connectSocket, connectStream, type Message, type SocketClient } from '../support/client.ts'
import { eventually, settle } from '../support/visit.ts'
import type { Operation } from './operations.ts'

interface Client {
  readonly tenant: string
  readonly user: string
  /** Undefined for a stream. */
  readonly socket: SocketClient | undefined
  /** Everything that it has read. */
  readonly messages: () => readonly Message[]
  readonly close: () => void
  isOpen: boolean
  isGone: boolean
}

const NO_ID = '00000000-0000-0000-0000-000000000000'
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-/
const TIME = /^\d{4}-\d\d-\d\dT/
const CURSOR = /^[A-Za-z0-9_-]{3,}:(\d+)$/
/** Messages that arrive at any moment, or as often as a test asks. */
const UNTOLD = ['heartbeat', 'pong']
/** Measured times, and numbers that count a user once for each node. */
const IGNORED = [
  'expires_in',
  'avg_latency_ms',
  'unique_users',
  'total_tracked',
  'total_expired',
  'pending_count',
  'ack_rate',
]

/** A cluster, or a node alone, that carries out operations. */
export class Replica {
  readonly #nodes: readonly TestApp[]
  readonly #clients = new Map<number, Client>()
  /** Ids of notifications, in the order of their sends. */
  readonly #ids: string[] = []
  readonly #names = new Map<string, string>()

  constructor(nodes: readonly TestApp[]) {
    this.#nodes = nodes
  }

  /** Resolves with the answer, in which names replace what is random. */
  async run(operation: Operation): Promise<unknown> {
    switch (operation.kind) {
      case 'connect':
        return this.#connect(operation)
      case 'close':
        return this.#clients.get(operation.client)?.close()
      case 'say':
        return this.#say(operation.client, operation.message)
      case 'ack': {
        const payload = { notification_id: this.#idAt(operation.notification) }
        return this.#say(operation.client, { type: 'Ack', payload })
      }
      case 'status':
        return this.#call(operation, 'GET', `/api/v1/notifications/${this.#idAt(operation.notification)}`)
      case 'call':
        return this.#call(operation, operation.method, operation.path, operation.body)
    }
  }

  /** Messages that each client has read by now. Connections that ended are gone from all nodes. */
  async read(): Promise<readonly unknown[]> {
    const clients = [...this.#clients.values()]
    for (const client of clients)
      if (client.socket !== undefined && client.isOpen)
        await settle(client.socket).catch(() => {
          client.isOpen = false
        })
    for (const client of clients) if (!client.isOpen && !client.isGone) await this.#untilGone(client)
    return [...this.#clients.values()].map(({ messages, isOpen }) =>
      this.#named({ isOpen, messages: messages() }),
    )
  }

  close(): void {
    for (const { close } of this.#clients.values()) close()
  }

  #node(place: number): TestApp {
    const node = this.#nodes[place % this.#nodes.length]
    if (node === undefined) throw new Error('a replica has a node')
    return node
  }

  #idAt(place: number): string {
    return this.#ids[place % (this.#ids.length || 1)] ?? NO_ID
  }

  #say(place: number, message: object): void {
    const client = this.#clients.get(place)
    if (client?.isOpen) client.socket?.send(message)
  }

  async #connect({
    node,
    client,
    user,
    tenant,
    ...wish
  }: Operation & { readonly kind: 'connect' }): Promise<string> {
    const { url, token } = this.#node(node)
    const query = new URLSearchParams({
      token: await token(user, { tenant_id: tenant, roles: wish.roles }),
      cursor: '',
    })
    if (wish.channels.length > 0) query.set('channels', wish.channels.join())
    const add = (messages: Client['messages'], close: () => void, socket?: SocketClient): Client => {
      const added: Client = {
        tenant,
        user,
        socket,
        messages,
        close: () => {
          added.isOpen = false
          close()
        },
        isOpen: true,
        isGone: false,
      }
      this.#clients.set(client, added)
      return added
    }
    try {
      if (wish.transport === 'ws') {
        const socket = await connectSocket(`${url}/ws?${query}`)
        add(() => socket.inbox.all.filter(({ type }) => !UNTOLD.includes(type)), socket.close, socket)
      } else {
        const stream = await connectStream(`${url}/sse?${query}`)
        const isTold = ({ event }: Message) => event !== undefined && !UNTOLD.includes(event)
        const read = () => stream.inbox.all.filter(isTold).map(({ event, data }) => ({ event, data }))
        const added = add(read, stream.close)
        void stream.closed.then(() => {
          added.isOpen = false
        })
      }
      return 'open'
    } catch (error) {
      return String(error).replace(/"request_id":"[^"]*"/, '')
    }
  }

  async #call({ node, tenant }: Operation, method: string, path: string, body?: object): Promise<unknown> {
    const answer = await fetch(this.#node(node).url + path, {
      method,
      headers: {
        'x-api-key': API_KEY,
        'x-tenant-id': tenant,
        ...(body && { 'content-type': 'application/json' }),
      },
      ...(body && { body: JSON.stringify(body) }),
    })
    const text = await answer.text()
    const json: Message = text === '' ? undefined : JSON.parse(text)
    for (const { notification_id: id } of [json, ...(json?.results ?? [])].filter(Boolean))
      if (id !== undefined && id !== NO_ID && !this.#ids.includes(id)) this.#ids.push(id)
    return this.#named({ status: answer.status, replayed: answer.headers.get('idempotency-replayed'), json })
  }

  async #untilGone(client: Client): Promise<void> {
    const { user, tenant } = client
    const isHis = (each: Client) => each.isOpen && each.user === user && each.tenant === tenant
    const open = () => [...this.#clients.values()].filter(isHis).length
    const path = `/api/v1/users/${encodeURIComponent(user)}/presence`
    const count = async () => (await this.#node(0).get(path, { 'x-tenant-id': tenant })).json.connections
    await eventually(async () => (await count()) === open())
    client.isGone = true
  }

  /** Replaces ids by the order in which they appear, and leaves out what differs by nature. */
  #named(value: unknown): unknown {
    if (typeof value === 'string') return this.#nameOf(value)
    if (Array.isArray(value)) return value.map(each => this.#named(each))
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(
      Object.entries(value).flatMap(([key, each]) => {
        if (IGNORED.includes(key)) return []
        if (key === 'nodes')
          return [[key, each.reduce((sum: number, { connections }: Message) => sum + connections, 0)]]
        return [[key, this.#named(each)]]
      }),
    )
  }

  #nameOf(text: string): string {
    if (TIME.test(text)) return 'a time'
    const [, seq] = CURSOR.exec(text) ?? []
    if (seq !== undefined) return `an epoch:${seq}`
    if (!UUID.test(text)) return text
    const name = this.#names.get(text) ?? `id ${this.#names.size}`
    this.#names.set(text, name)
    return name
  }
}
