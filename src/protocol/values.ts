import * as v from 'valibot'
import { documented } from '../lib/json/document.ts'

/** Lowest first: when a log overflows, the first of these is evicted first. */
export const PRIORITIES = ['Low', 'Normal', 'High', 'Critical'] as const
export type Priority = (typeof PRIORITIES)[number]

/** Text of a cursor: `k3f9:12` is the 12th place in the log's life `k3f9`. */
export const CURSOR_PATTERN = /^([A-Za-z0-9_-]{1,32}):(0|[1-9]\d{0,15})$/

export const cursor = documented(v.string(), {
  pattern: CURSOR_PATTERN.source,
  description: 'A position in the log of a user',
})
export const id = documented(v.string(), { format: 'uuid' })
export const timestamp = documented(v.string(), { format: 'date-time' })
export const count = v.pipe(v.number(), v.integer(), v.minValue(0))
