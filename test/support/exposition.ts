/** Metric with all its samples. */
export interface Family {
  readonly type: string
  readonly help: string
  /** Samples by name and labels as written: `ara_draining`, `x_bucket{le="1"}`. */
  readonly samples: ReadonlyMap<string, number>
}

/** Matches `name{label="value"} 1.5`; label values have no bare quote, backslash or line end. */
const SAMPLE =
  /^([a-z_:][a-z0-9_:]*)(\{[a-z_]\w*="(?:[^"\\\n]|\\[\\"n])*"(?:,[a-z_]\w*="(?:[^"\\\n]|\\[\\"n])*")*\})? (-?\d+(?:\.\d+)?(?:e[+-]?\d+)?|NaN|[+-]Inf)$/i
const HELP = /^# HELP (\S+) (\S.*)$/
const TYPE = /^# TYPE (\S+) (counter|gauge|histogram|summary|untyped)$/
const LABEL = /([a-z_]\w*)="((?:[^"\\\n]|\\[\\"n])*)"/gi

/** Reads the labels of a sample, by name. */
export const labelsOf = (sample: string): Readonly<Record<string, string>> =>
  Object.fromEntries([...sample.matchAll(LABEL)].map(([, name, value]) => [name, value]))

/** Checks a histogram: buckets never decrease, the last equals the count, and a sum exists. */
function checkHistogram(name: string, samples: ReadonlyMap<string, number>): void {
  const series = new Map<string, (readonly [le: number, within: number])[]>()
  for (const [sample, value] of samples) {
    const { le, ...labels } = labelsOf(sample)
    if (le === undefined) continue
    const rest = JSON.stringify(labels)
    series.set(rest, [...(series.get(rest) ?? []), [le === '+Inf' ? Infinity : Number(le), value]])
  }
  for (const [labels, buckets] of series) {
    const of = (suffix: string) =>
      [...samples].find(
        ([sample]) =>
          sample.split('{', 1)[0] === name + suffix && JSON.stringify(labelsOf(sample)) === labels,
      )?.[1]
    const isRising = buckets.every(([le, within], n) => {
      const before = buckets[n - 1]
      return before === undefined || (before[0] < le && before[1] <= within)
    })
    const [le, all] = buckets.at(-1) ?? []
    if (!isRising || le !== Infinity || all !== of('_count') || of('_sum') === undefined)
      throw new Error(`no histogram: ${name}${labels}`)
  }
}

/** Reads the Prometheus text format 0.0.4; throws at the first invalid or misplaced line. */
export function readExposition(text: string): ReadonlyMap<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line does not end')
  const families = new Map<string, Family & { readonly samples: Map<string, number> }>()
  let [name, help] = ['', '']
  for (const line of text.split('\n').filter(line => line !== '')) {
    const [, helped, said] = HELP.exec(line) ?? []
    const [, typed, type] = TYPE.exec(line) ?? []
    const [, sampled = '', labels = '', value] = SAMPLE.exec(line) ?? []
    if (helped !== undefined && said !== undefined) [name, help] = [helped, said]
    else if (typed !== undefined && type !== undefined) {
      if (typed !== name || families.has(name)) throw new Error(`TYPE out of place: ${line}`)
      families.set(name, { type, help, samples: new Map() })
    } else {
      const family = families.get(name)
      const own = family?.type === 'histogram' ? sampled.replace(/_(bucket|sum|count)$/, '') : sampled
      if (value === undefined || family === undefined || own !== name || family.samples.has(sampled + labels))
        throw new Error(`no sample, or not its place: ${line}`)
      family.samples.set(sampled + labels, Number(value.replace('Inf', 'Infinity')))
    }
  }
  for (const [each, { type, samples }] of families) if (type === 'histogram') checkHistogram(each, samples)
  return families
}
