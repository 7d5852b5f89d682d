/** Request of a curl line in a document. */
export interface CurlRequest {
  readonly url: string
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
}

/** Splits words like a shell; replaces `$NAME` outside of single quotes from `env`. */
function wordsOf(line: string, env: Readonly<Record<string, string>>): readonly string[] {
  const filled = (text: string) =>
    text.replaceAll(/\$([A-Z_]+)/g, (whole, name: string) => env[name] ?? whole)
  return [...line.replaceAll('\\\n', ' ').matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
    ([, single, double, bare]) => single ?? filled(double ?? bare ?? ''),
  )
}

/** Reads `curl [-N] [-X METHOD] [-H header]… [-d body] url`; throws on anything else. */
export function readCurl(line: string, env: Readonly<Record<string, string>> = {}): CurlRequest {
  const [program, ...words] = wordsOf(line, env)
  if (program !== 'curl') throw new Error(`no line of curl: ${line}`)
  const headers: Record<string, string> = {}
  let method: string | undefined
  let body: string | undefined
  let url: string | undefined
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    if (word === '-N' || word === '-s' || word === '-i') continue
    if (word === '-X') method = words.shift()
    else if (word === '-d') body = words.shift()
    else if (word === '-H') {
      const [name = '', value = ''] = (words.shift() ?? '').split(/:\s*/, 2)
      headers[name] = value
    } else if (url === undefined && !word.startsWith('-')) url = word
    else throw new Error(`not known of curl: ${word}`)
  }
  if (url === undefined) throw new Error(`no URL in: ${line}`)
  return { url, method: method ?? (body === undefined ? 'GET' : 'POST'), headers, body }
}

/** Finds the curl lines of a shell block, continued lines joined. */
export const curlLines = (shell: string): readonly string[] =>
  shell
    .replaceAll('\\\n', ' ')
    .split('\n')
    .filter(line => line.startsWith('curl '))

/** Sends the request of the line to the service at `origin`. */
export const runCurl = ({ url, method, headers, body }: CurlRequest, origin: string): Promise<Response> =>
  fetch(url.replace('http://localhost:8081', origin), {
    method,
    headers,
    ...(body !== undefined && { body }),
  })
