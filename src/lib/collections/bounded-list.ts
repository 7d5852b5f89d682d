import * as v from 'valibot'

/** Stops reading a list after this many faults: no answer names more. */
export const MAX_FAULTS = 20
/** Items checked in a list that is too long: a wrong shape is reported before a wrong length. */
const MAX_READ = 1_000

/**
 * Like `v.array`, with bounded work: reading ends after MAX_FAULTS faults, and an over-long list is read in part
 * (`readsLong: false`: not at all). Such a list passes: the caller must check its length before its items.
 */
export function boundedList<S extends v.GenericSchema>(item: S, maxItems: number, readsLong: boolean) {
  const list = v.array(item)
  const run = list['~run'].bind(list)
  const most = readsLong ? Math.max(maxItems, MAX_READ) : 0
  const read: typeof run = (dataset, config) => {
    const given: unknown = dataset.value
    if (!Array.isArray(given)) return run(dataset, config)
    const input = given.length > maxItems ? given.slice(0, most) : given
    const first = run({ value: input }, { ...config, abortEarly: true })
    if (first.issues === undefined) return given === input ? first : { typed: true, value: given }
    let faults = 0
    const end = input.findIndex(value => {
      faults += item['~run']({ value }, config).issues?.length ?? 0
      return faults >= MAX_FAULTS
    })
    return run({ value: end < 0 ? input : input.slice(0, end + 1) }, config)
  }
  return Object.assign(list, { '~run': read })
}
