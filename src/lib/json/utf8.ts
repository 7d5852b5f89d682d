const BYTE_ORDER_MARK = 0xfeff
// Fatal, or broken bytes would become U+FFFD; `ignoreBOM` keeps the mark, or nobody could see it.
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** A body as text; undefined when it is not UTF-8 or begins with a byte order mark (RFC 8259 §8.1). */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    const text = utf8.decode(bytes)
    return text.charCodeAt(0) === BYTE_ORDER_MARK ? undefined : text
  } catch {
    return undefined
  }
}
