import { afterAll, describe, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Parts, play } from './schedule.ts'

const SCHEDULES = 10_000
const PARTS = 10
const SOURCE = join(import.meta.dir, '../../client/src')
/** So few notifications may wait that the client is often too far behind. */
const NARROW = { file: 'inbox', from: 'jobs >= MAX_WAITING', to: 'jobs >= 3' } as const

interface Change {
  readonly file: 'acks' | 'connection' | 'connection-state' | 'inbox' | 'links' | 'session' | 'listeners'
  readonly from: string
  readonly to: string
}

interface Mutant extends Change {
  readonly rule: string
  /** A schedule that exposes the mutant. */
  readonly seed: number
}

const folder = await mkdtemp(join(tmpdir(), 'client-'))
afterAll(() => rm(folder, { recursive: true }))

/** A copy of the client with some texts replaced, in its own folder. */
async function changed(...changes: readonly Change[]): Promise<Parts> {
  const home = await mkdtemp(join(folder, 'copy-'))
  for (const path of new Bun.Glob('*.ts').scanSync(SOURCE)) {
    let text = await Bun.file(join(SOURCE, path)).text()
    for (const { file, from, to } of changes) {
      if (path !== `${file}.ts`) continue
      // A rule whose source text has changed must not count as caught.
      expect({ from, places: text.split(from).length - 1 }).toEqual({ from, places: 1 })
      text = text.replace(from, () => to)
    }
    await Bun.write(join(home, path), text)
  }
  return import(join(home, 'index.ts'))
}

/** Odd schedules leave little room. */
const isNarrow = (seed: number): boolean => seed % 2 === 1
const real = await changed()
const narrow = await changed(NARROW)

describe('in random schedules of outages, refusals, reloads and slow handlers', () => {
  const first = Number(process.env['SCHEDULE_SEED'] ?? 1)
  for (let part = 0; part < PARTS; part++)
    test(`a client keeps its promises (${part + 1} of ${PARTS})`, async () => {
      const size = process.env['SCHEDULE_SEED'] === undefined ? SCHEDULES / PARTS : 1
      for (let seed = first + part * size; seed < first + (part + 1) * size; seed++)
        expect({ seed, faults: await play(isNarrow(seed) ? narrow : real, seed) }).toEqual({
          seed,
          faults: [],
        })
    }, 120_000)
})

const MUTANTS: readonly Mutant[] = [
  {
    rule: 'waits for a fixed time instead of a random one',
    file: 'connection',
    from: 'now + random * Math.min',
    to: 'now + Math.min',
    seed: 1,
  },
  {
    rule: 'does not wait longer after each failure',
    file: 'connection',
    from: '2 ** s.failures++',
    to: '2 ** s.failures',
    seed: 2,
  },
  {
    rule: 'waits ever longer',
    file: 'connection',
    from: 'Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** s.failures++)',
    to: 'FIRST_BACKOFF_MS * 2 ** s.failures++',
    seed: 2,
  },
  {
    rule: 'forgets its failures when a link opens, before `connected`',
    file: 'connection',
    from: "      s.phase = 'opening'\n",
    to: "      s.phase = 'opening'\n      s.failures = 0\n",
    seed: 2,
  },
  {
    rule: 'does not forget its failures at `connected`',
    file: 'connection',
    from: 's.failures = s.refusals = 0',
    to: 's.refusals = 0',
    seed: 2,
  },
  {
    rule: 'does not forget refused tokens at `connected`',
    file: 'connection',
    from: 's.failures = s.refusals = 0',
    to: 's.failures = 0',
    seed: 23,
  },
  {
    rule: 'ignores Retry-After',
    file: 'links',
    from: "Number(headers.get('retry-after')) * 1000 || 0",
    to: '0',
    seed: 15,
  },
  {
    rule: 'ignores `reconnect_after_seconds`',
    file: 'connection',
    from: "if (message.type === 'shutdown') s.notBefore = now + message.reconnect_after_seconds * 1000",
    to: '',
    seed: 2,
  },
  {
    rule: 'lets a waking page try before its time',
    file: 'connection',
    from: "if (s.phase === 'waiting' && now >= s.notBefore) begin()",
    to: "if (s.phase === 'waiting') begin()",
    seed: 48,
  },
  {
    rule: 'does not try when the network is back',
    file: 'connection',
    from: "if (s.phase === 'waiting' && now >= s.notBefore) begin()",
    to: '',
    seed: 9,
  },
  {
    rule: 'connects again when the network is back, though it is connected',
    file: 'connection',
    from: "if (s.phase === 'waiting' && now >= s.notBefore) begin()",
    to: 'begin()',
    seed: 1,
  },
  {
    rule: 'tries a refused token for ever',
    file: 'connection',
    from: 'if (status === 4403 || s.refusals >= MAX_REFUSALS) enter',
    to: 'if (status === 4403) enter',
    seed: 3,
  },
  {
    rule: 'ends at the first refused token',
    file: 'connection',
    from: 'const MAX_REFUSALS = 2',
    to: 'const MAX_REFUSALS = 1',
    seed: 2,
  },
  {
    rule: 'comes back after the backend disconnected the user',
    file: 'connection',
    from: 'if (status === 4403 || s.refusals >= MAX_REFUSALS) enter',
    to: 'if (s.refusals >= MAX_REFUSALS) enter',
    seed: 18,
  },
  {
    rule: 'takes the end of a stream by the backend for an expired token',
    file: 'connection',
    from: "message.code === 'FORBIDDEN' ? 4403 : 4401",
    to: '4401',
    seed: 186,
  },
  {
    rule: 'does not ask for a token again that never came',
    file: 'connection',
    from: "      else if (s.phase === 'asking') noToken('TIMEOUT')\n",
    to: "      else if (s.phase === 'asking') return\n",
    seed: 2,
  },
  {
    rule: 'hears the answer to an earlier question for a token',
    file: 'session',
    from: "mine === questions && dispatch('token', token)",
    to: "dispatch('token', token)",
    seed: 15,
  },
  {
    rule: 'hears the failure of an earlier question for a token',
    file: 'session',
    from: "mine === questions && dispatch('noToken', String(error))",
    to: "dispatch('noToken', String(error))",
    seed: 2540,
  },
  {
    rule: 'lets an attempt hang',
    file: 'connection',
    from: '        s.renewal = undefined\n        fail({})\n',
    to: "        s.renewal = undefined\n        if (s.phase === 'online') fail({})\n",
    seed: 8,
  },
  {
    rule: 'does not watch the silence',
    file: 'connection',
    from: "if (s.phase === 'online') act('time', 'main', s.silenceMs)",
    to: '',
    seed: 28,
  },
  {
    rule: 'takes three heartbeats to notice a dead network',
    file: 'connection',
    from: 'message.heartbeat_seconds * 2000',
    to: 'message.heartbeat_seconds * 3000',
    seed: 2,
  },
  {
    rule: 'keeps the link when it gives up an attempt',
    file: 'connection',
    from: "    s.joined = []\n    act('drop')\n",
    to: "    s.joined = []\n    if (phase !== 'waiting') act('drop')\n",
    seed: 223,
  },
  {
    rule: 'does not renew a token on the open connection',
    file: 'connection',
    from: "    if (message.type === 'token_expiring' && s.renewal !== 'link') renew()\n",
    to: '',
    seed: 1,
  },
  {
    rule: 'ignores Retry-After when the token of its stream expires',
    file: 'connection',
    from: " && s.renewal !== 'link') renew()\n    if (message.type !== 'error')",
    to: ") renew()\n    if (message.type !== 'error')",
    seed: 26116,
  },
  {
    rule: 'takes the silence of its stream for that of the link that is to replace it',
    file: 'connection',
    from: '        s.renewal = undefined\n        fail({})\n',
    to: '        fail({})\n',
    seed: 28044,
  },
  {
    rule: 'uses a stream after one blocked WebSocket',
    file: 'connection',
    from: 'const BLOCKED_AFTER = 2',
    to: 'const BLOCKED_AFTER = 1',
    seed: 4,
  },
  {
    rule: 'never uses a stream',
    file: 'connection',
    from: 's.blocked < BLOCKED_AFTER ?',
    to: 'true ?',
    seed: 474,
  },
  {
    rule: 'uses a stream though a WebSocket has worked',
    file: 'connection',
    from: "if (s.transport === 'websocket') s.blocked = WORKS",
    to: '',
    seed: 2,
  },
  {
    rule: 'never tries a WebSocket again',
    file: 'connection',
    from: "if (s.phase === 'opening') act('time', 'again', TRIAL_MS)",
    to: '',
    seed: 7,
  },
  {
    rule: 'does not subscribe again after a reconnect',
    file: 'connection',
    from: "if (s.phase === 'online') sync()",
    to: "if (s.phase === 'online' && type === 'want') sync()",
    seed: 2,
  },
  {
    rule: 'takes the answers of an earlier connection for its own',
    file: 'connection',
    from: 'message.channels ?? []',
    to: 'message.channels ?? s.joined',
    seed: 188,
  },
  {
    rule: 'takes the answer to an earlier wish for a channel for the answer to the latest one',
    file: 'connection',
    from: 'if (!changes.length || s.asked.length) return',
    to: 'if (!changes.length) return',
    seed: 45,
  },
  {
    rule: 'counts a channel that it is leaving as joined',
    file: 'connection-state',
    from: 'without([...joined, ...refused], asked)',
    to: '[...joined, ...refused]',
    seed: 33,
  },
  {
    rule: 'counts a channel as joined that the next stream does not carry',
    file: 'connection',
    from: '      s.asked = without(s.joined, s.channels)\n',
    to: '',
    seed: 7163,
  },
  {
    rule: 'does not leave channels',
    file: 'connection',
    from: "      subscribe('Unsubscribe', fewer)\n",
    to: '',
    seed: 61,
  },
  {
    rule: 'takes channels for joined that its open stream does not carry',
    file: 'connection',
    from: 'else if (!s.renewal)',
    to: 'else if (!s.renewal && fewer[0])',
    seed: 56,
  },
  {
    rule: 'stays in channels of its stream that it has left',
    file: 'connection',
    from: 'else if (!s.renewal)',
    to: 'else if (!s.renewal && more[0])',
    seed: 393,
  },
  {
    rule: 'keeps a stream and the one that has replaced it',
    file: 'session',
    from: 'clock.setTimeout(() => old?.drop(), LINGER_MS)',
    to: '',
    seed: 7,
  },
  {
    rule: 'ignores Retry-After when its stream ends while another one was to replace it',
    file: 'connection',
    from: '(isReplacement && now >= s.notBefore)',
    to: 'isReplacement',
    seed: 960,
  },
  {
    rule: 'takes a refused channel for a network that is down',
    file: 'connection',
    from: 'if (refused.length) return isReplacement ? renew() : begin()',
    to: '',
    seed: 287,
  },
  {
    rule: 'hides a refused channel',
    file: 'connection',
    from: "s.error = s.refused.length ? fault('SUBSCRIPTION_ERROR', String(s.refused)) : undefined",
    to: 's.error = undefined',
    seed: 10,
  },
  {
    rule: 'acknowledges though the service does not want it',
    file: 'acks',
    from: 'isOn = !answer.includes(OFF)',
    to: 'isOn = true',
    seed: 9,
  },
  {
    rule: 'forgets ids when the log begins a new life',
    file: 'inbox',
    from: 'const isNew = !fate || ',
    to: 'const isNew = !!place || !fate || ',
    seed: 11,
  },
  {
    rule: 'drops what is sent again after a handler failed',
    file: 'inbox',
    from: "(fate === 'failed' && frame.redelivered)",
    to: 'false',
    seed: 17,
  },
  {
    rule: 'hands over again what is still being handled',
    file: 'inbox',
    from: "(fate === 'failed' && frame.redelivered)",
    to: "(fate !== 'done' && frame.redelivered)",
    seed: 112,
  },
  {
    rule: 'does not acknowledge again what it has handled',
    file: 'inbox',
    from: "      if (fate === 'done') acknowledge(frame)\n      const",
    to: '      const',
    seed: 488,
  },
  {
    rule: 'moves back to the old place of what is sent again',
    file: 'inbox',
    from: '(redelivered ? undefined : cursor)',
    to: 'cursor',
    seed: 20,
  },
  {
    rule: 'does not move on where a connection starts',
    file: 'inbox',
    from: 'if (place && isAhead(place, cursor)) move(place)',
    to: '',
    seed: 60,
  },
  {
    rule: 'does not move behind what it knows already',
    file: 'inbox',
    from: 'if (!isNew) return place && move(place)',
    to: 'if (!isNew) return',
    seed: 24,
  },
  {
    rule: 'hides a gap',
    file: 'inbox',
    from: 'if (reason) void add(() => onGap({ reason }))',
    to: '',
    seed: 1,
  },
  {
    rule: 'saves the place before the handlers are done',
    file: 'inbox',
    from: "remember(frame.id, 'waiting')\n",
    to: "remember(frame.id, 'waiting')\n      if (place) save(place)\n",
    seed: 2,
  },
  {
    rule: 'runs handlers side by side',
    file: 'inbox',
    from: '        await handling[0]\n',
    to: '',
    seed: 9,
  },
  {
    rule: 'acknowledges what a handler threw away',
    file: 'inbox',
    from: 'if (!failures[0]) acknowledge(frame)',
    to: 'acknowledge(frame)',
    seed: 12,
  },
  {
    rule: 'stays connected though it is too far behind',
    file: 'inbox',
    from: '    onFull(value)\n',
    to: '    if (!value) onFull(value)\n',
    seed: 139,
  },
  {
    rule: 'stays away after it has caught up',
    file: 'inbox',
    from: 'if (!--jobs && isFull) setFull(false)',
    to: 'if (!--jobs) isFull = false',
    seed: 9,
  },
  {
    rule: 'counts a token of the last attempt as good',
    file: 'session',
    from: 'latestToken = (await options.token()).trim()',
    to: 'latestToken ||= (await options.token()).trim()',
    seed: 1,
  },
  {
    rule: 'leaves timers behind',
    file: 'session',
    from: '      for (const name in timers) clock.clearTimeout(timers[name])\n',
    to: '',
    seed: 1,
  },
  {
    rule: 'goes on after it was closed',
    file: 'connection',
    from: "  if (s.phase === 'closed') return [state, []]\n",
    to: '',
    seed: 823,
  },
]

describe('the check catches a client that', () => {
  for (const mutant of MUTANTS)
    test(mutant.rule, async () => {
      const room = isNarrow(mutant.seed) ? [NARROW] : []
      const parts = await changed(...room, mutant)
      expect(await play(parts, mutant.seed)).not.toEqual([])
      expect(await play(isNarrow(mutant.seed) ? narrow : real, mutant.seed)).toEqual([])
    }, 60_000)
})
