/** How many values lie within which bounds: plain numbers, since some are told of every delivery. A class, since each route has one. */
export class Histogram {
  /** Rising; a value on a bound lies within it. */
  readonly bounds: readonly number[]
  /** For each bound the values within it and above the one before; the last is of those above all. */
  readonly counts: number[]
  sum = 0

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.counts = Array.from({ length: bounds.length + 1 }, () => 0)
  }

  get count(): number {
    return this.counts.reduce((sum, each) => sum + each, 0)
  }

  /** A value that came so many times at once. */
  observe(value: number, times = 1): void {
    let at = 0
    while (value > (this.bounds[at] ?? Number.POSITIVE_INFINITY)) at++
    this.counts[at] = (this.counts[at] ?? 0) + times
    this.sum += value * times
  }
}
