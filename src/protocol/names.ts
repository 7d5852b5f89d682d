import { NAME } from '../lib/name.ts'

// biome-ignore lint/suspicious/noControlCharactersInRegex: the pattern looks for them.
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/
const CHANNEL = /^[\p{L}\p{N}_.-]{1,64}$/u
const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,255}$/
const TEMPLATE_ID = /^[\p{L}\p{N}_-]{1,64}$/u
const MAX_TEMPLATE_BYTES = 64
const MAX_USER_BYTES = 256
const MAX_EVENT_TYPE = 128
const MAX_CORRELATION_ID = 256

const text = (maxLength: number) => ({
  minLength: 1,
  maxLength,
  pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f]*$',
})

/** ASCII without letters, digits, `_`, `.` and `-`. Few languages know Unicode classes in patterns. */
const OTHERS = '\\x00-,/:-@\\[-^`{-\\x7f'

/** Rules in JSON Schema, which counts characters and not bytes. */
export const NAME_RULES = {
  userId: text(MAX_USER_BYTES),
  eventType: text(MAX_EVENT_TYPE),
  correlationId: { ...text(MAX_CORRELATION_ID), minLength: 0 },
  channel: { pattern: `^[^${OTHERS}]{1,64}$` },
  templateId: { pattern: `^[^${OTHERS}.]{1,64}$` },
  tenant: { pattern: NAME.source },
  idempotencyKey: { pattern: IDEMPOTENCY_KEY.source },
} as const

/** Rules in words, for errors. */
export const USER_ID_RULE = '1 to 256 bytes without control characters, not . or ..'
export const CHANNEL_RULE = '1 to 64 letters, digits, _ . or -, not . or ..'

const ENCODER = new TextEncoder()

/** At most so many bytes of UTF-8. A UTF-16 unit takes at most three. */
const isWithinBytes = (text: string, bytes: number): boolean =>
  text.length * 3 <= bytes || (text.length <= bytes && ENCODER.encode(text).length <= bytes)

const hasControl = (text: string): boolean => CONTROL.test(text)

/** Dot segments never reach the server: URL parsers remove them. */
const isDots = (text: string): boolean => text === '.' || text === '..'

/**
 * 1–256 bytes, no control characters, not `.` or `..`. Lone surrogates are rejected: in UTF-8 they all become
 * U+FFFD, so that two ids would be one.
 */
export const isUserId = (text: string): boolean =>
  text !== '' &&
  !isDots(text) &&
  text.isWellFormed() &&
  isWithinBytes(text, MAX_USER_BYTES) &&
  !hasControl(text)

/** 1–64 letters and digits of any script, `_` `.` `-`, but not `.` or `..`; case-sensitive. */
export const isChannel = (text: string): boolean => CHANNEL.test(text) && !isDots(text)

/** 1–64 bytes: letters and digits of any script, `-` and `_`. */
export const isTemplateId = (text: string): boolean =>
  TEMPLATE_ID.test(text) && isWithinBytes(text, MAX_TEMPLATE_BYTES)

/** Tenant of callers that name none, and of all callers without tenancy. */
export const DEFAULT_TENANT = 'default'

export const isTenant = (text: string): boolean => NAME.test(text)

/** At most so many Unicode code points. */
const isWithin = (text: string, characters: number): boolean =>
  text.length <= characters || (text.length <= 2 * characters && [...text].length <= characters)

/** 1–128 characters, no control characters. */
export const isEventType = (text: string): boolean =>
  text !== '' && isWithin(text, MAX_EVENT_TYPE) && !hasControl(text)

/** At most 256 characters, no control characters. */
export const isCorrelationId = (text: string): boolean =>
  isWithin(text, MAX_CORRELATION_ID) && !hasControl(text)

export const IDEMPOTENCY_KEY_RULE = '1 to 255 visible ASCII characters'
/** 1–255 visible ASCII characters. */
export const isIdempotencyKey = (text: string): boolean => IDEMPOTENCY_KEY.test(text)
