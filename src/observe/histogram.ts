/** Counts values by bounds, in plain numbers since every delivery counts. A class, since each route has one. */
export class Histogram {
  /** Ascending bounds; a value equal to a bound lies within it. */
  readonly bounds: readonly number[]
  /** Values per bound, above the previous bound; the last counter holds values above all bounds. */
  readonly counts: number[]
  sum = 0

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = Array.from({ length: bounds.length + 1 }, () => 0)
  }

  get count(): number {
    return this.counts.reduce((sum, each) => sum + each, 0)
  }

  /** Counts a value, `times` times. */
  observe(value: number, times = 1): void {
    let at = 0
    while (value > (this.bounds[at] ?? Number.POSITIVE_INFINITY)) at++
    this.counts[at] = (this.counts[at] ?? 0) + times
    this.sum += value * times
  }
}
