const BYTE_ORDER_MARK = 0xfeff
// `fatal` rejects broken bytes instead of writing U+FFFD; `ignoreBOM` keeps the mark visible.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Decodes a body; undefined if it is not UTF-8 or begins with a byte order mark (RFC 8259 §8.1). */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    const text = utf8.decode(bytes)
    return text.charCodeAt(0) === BYTE_ORDER_MARK ? undefined : text
  } catch {
    return undefined
  }
}
