import type { Epoch } from '../notification/cursor.ts'
import type { Topic } from '../notification/topic.ts'
import type { UserLog } from '../store/store.ts'

const PAGE = { entries: 1_000, bytes: 256 * 1024 }

/** Reads the unacknowledged entries of a log, one page per turn. Ends when the epoch changes. */
export async function* unsettledPages(
  log: Pick<UserLog, 'read'>,
  owner: Topic,
  epoch: Epoch,
): AsyncGenerator<{ readonly seqs: readonly number[]; readonly through: number }> {
  for (let after = 0; ; ) {
    const { entries, through, ...page } = await log.read(owner, after, PAGE, true)
    if (page.epoch !== epoch) return
    yield { seqs: entries.map(({ seq }) => seq), through }
    if (entries.length === 0) return
    after = through
    await new Promise(setImmediate)
  }
}
