import { ReplyError } from 'ioredis'

/** Whether Redis answered with an error. Any other rejection of a command means that the connection has ended. */
export const isReplyError = (error: unknown): error is Error => error instanceof ReplyError
