import { Counter, Rate, Trend } from 'k6/metrics'
import { samplesOf } from './thresholds.ts'

interface Series<T> {
  add(value: T): void
}

/** Rates and trends with a counter of samples: without samples a threshold would pass. */
function counted<T extends number | boolean>(series: Rate | Trend): Series<T> {
  const samples = new Counter(samplesOf(series.name))
  return {
    add: value => {
      series.add(value)
      samples.add(1)
    },
  }
}

export const rate = (name: string): Series<boolean> => counted(new Rate(name))

/** Records milliseconds. */
export const durations = (name: string): Series<number> => counted(new Trend(name, true))
