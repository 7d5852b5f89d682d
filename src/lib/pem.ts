import { createPublicKey } from 'node:crypto'
import { readFileSync } from 'node:fs'

const PUBLIC_PEM = /-----BEGIN (PUBLIC KEY|CERTIFICATE)-----[^-]+-----END \1-----/

/** `\n` spelt out is a line break: environment files hold one line a name. */
const textOf = (textOrPath: string): string =>
  textOrPath.includes('-----BEGIN') ? textOrPath.replaceAll('\\n', '\n') : readFileSync(textOrPath, 'utf8')

/** The public key (SPKI) or certificate (X.509) that a text or a file holds; undefined when there is none. */
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
