import { AraError } from './error.ts'

const CONTROL = /\p{Cc}/u
const MAX_USER_BYTES = 256
const ENCODER = new TextEncoder()

/** Rejects a wrong option or argument before anything is sent. */
export function check(name: string, isRight: boolean, expected: string): void {
  if (!isRight) throw new AraError('INVALID_ARGUMENT', `${name}: expected ${expected}`)
}

export const hasControl = (text: string): boolean => CONTROL.test(text)

export function checkObject(name: string, value: unknown, fields: string): void {
  check(name, typeof value === 'object' && value !== null, `an object with ${fields}`)
}

export function checkUser(user: unknown): void {
  check(
    'user',
    typeof user === 'string' &&
      user !== '' &&
      user !== '.' &&
      user !== '..' &&
      user.isWellFormed() &&
      ENCODER.encode(user).length <= MAX_USER_BYTES &&
      !hasControl(user),
    `1 to ${MAX_USER_BYTES} bytes without control characters, not . or ..`,
  )
}

export function checkTenant(tenant: unknown): void {
  check(
    'tenant',
    tenant === undefined || (typeof tenant === 'string' && /^[A-Za-z0-9_.-]{1,64}$/.test(tenant)),
    '1 to 64 of A-Z a-z 0-9 _ . -',
  )
}

export function checkKey(key: unknown): void {
  check(
    'idempotency_key',
    typeof key === 'string' && /^[\x21-\x7e]{1,255}$/.test(key),
    '1 to 255 visible ASCII characters',
  )
}

export function checkNumber(name: string, value: number, least: number, most: number): void {
  check(
    name,
    Number.isInteger(value) && value >= least && value <= most,
    `a whole number from ${least} to ${most}`,
  )
}

/** The address of the service without a final slash. */
export function addressOf(url: unknown): string {
  const text = String(url).trim()
  const address = URL.canParse(text) ? new URL(text) : undefined
  check(
    'url',
    address?.protocol === 'http:' || address?.protocol === 'https:',
    'an address with http:// or https://, such as http://notification:8081',
  )
  const { username, password, search, hash } = address ?? {}
  check('url', !username && !password && !search && !hash, 'no user, password, query or #')
  return text.replace(/[/?#]+$/, '')
}
