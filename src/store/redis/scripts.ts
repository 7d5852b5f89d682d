import { createHash } from 'node:crypto'
import ack from './ack-7.lua' with { type: 'text' }
import ackThrough from './ackthrough-7.lua' with { type: 'text' }
import admit from './admit-1.lua' with { type: 'text' }
import answer from './answer-1.lua' with { type: 'text' }
import append from './append-7.lua' with { type: 'text' }
import beat from './beat-1.lua' with { type: 'text' }
import clean from './clean-7.lua' with { type: 'text' }
import count from './count-7.lua' with { type: 'text' }
import create from './create-1.lua' with { type: 'text' }
import find from './find.lua' with { type: 'text' }
import forget from './forget-7.lua' with { type: 'text' }
import handling from './handling.lua' with { type: 'text' }
import known from './known-7.lua' with { type: 'text' }
import life from './life-1.lua' with { type: 'text' }
import log from './log.lua' with { type: 'text' }
import lose from './lose-7.lua' with { type: 'text' }
import mend from './mend-7.lua' with { type: 'text' }
import note from './note-7.lua' with { type: 'text' }
import open from './open-7.lua' with { type: 'text' }
import push from './push.lua' with { type: 'text' }
import read from './read-7.lua' with { type: 'text' }
import recipients from './recipients-1.lua' with { type: 'text' }
import redeliver from './redeliver-7.lua' with { type: 'text' }
import release from './release-1.lua' with { type: 'text' }
import replace from './replace-1.lua' with { type: 'text' }
import report from './report-7.lua' with { type: 'text' }
import reserve from './reserve-1.lua' with { type: 'text' }
import revoke from './revoke-1.lua' with { type: 'text' }
import revoked from './revoked-1.lua' with { type: 'text' }
import sizes from './sizes-1.lua' with { type: 'text' }
import take from './take-2.lua' with { type: 'text' }

/** One atomic step inside Redis. Its file documents arguments and reply. */
export interface Script {
  readonly text: string
  readonly sha: string
}

const script = (text: string): Script => ({ text, sha: createHash('sha1').update(text).digest('hex') })

/** Builds a script of a user's log: the shared start, then its own text. */
const ofLog = (...texts: string[]): Script => script([log, find, ...texts].join('\n'))

/** Inlined as strings, so that a compiled executable contains them. */
export const SCRIPTS = {
  append: ofLog(append),
  appendAndPush: ofLog(push, append),
  known: ofLog(known),
  open: ofLog(open),
  read: ofLog(read),
  count: ofLog(count),
  note: ofLog(handling, note),
  ack: ofLog(handling, ack),
  ackThrough: ofLog(handling, ackThrough),
  redeliver: ofLog(handling, redeliver),
  report: ofLog(report),
  clean: ofLog(clean),
  forget: ofLog(forget),
  mend: script([log, mend, find, 'return reply(false)'].join('\n')),
  lose: ofLog(lose),
  recipients: script(recipients),
  take: script(take),
  sizes: script(sizes),
  life: script(life),
  beat: script(beat),
  reserve: script(reserve),
  answer: script(answer),
  release: script(release),
  admit: script(admit),
  revoke: script(revoke),
  revoked: script(revoked),
  create: script(create),
  replace: script(replace),
} as const
