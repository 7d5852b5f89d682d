import { createPublicKey } from 'node:crypto'
import { readFileSync } from 'node:fs'

const PUBLIC_PEM = /-----BEGIN (PUBLIC KEY|CERTIFICATE)-----[^-]+-----END \1-----/

/** Reads `\n` as a line break: environment files hold one line per name. */
const textOf = (textOrPath: string): string =>
  textOrPath.includes('-----BEGIN') ? textOrPath.replaceAll('\\n', '\n') : readFileSync(textOrPath, 'utf8')

/** Reads a public key (SPKI) or certificate (X.509) from a text or file; undefined if there is none. */
export function readPublicPem(textOrPath: string): string | undefined {
  try {
    const [pem] = PUBLIC_PEM.exec(textOf(textOrPath)) ?? []
    if (pem === undefined) return undefined
    createPublicKey(pem)
    return pem
  } catch {
    return undefined
  }
}
