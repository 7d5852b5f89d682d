import type { Fault } from './types.ts'

/** An error with a code for programs. */
export const errorOf = ({ code, message }: Fault): Error & Fault =>
  Object.assign(new Error(message), { code })
