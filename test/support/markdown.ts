/** A fenced block of code: what language it says it is, and its text. */
export interface Block {
  readonly language: string
  readonly text: string
}

export interface Link {
  /** Empty: this document. */
  readonly file: string
  readonly anchor: string | undefined
}

const FENCE = /^```(\w*)\n([\s\S]*?)^```$/gm
const LINK = /\]\(([^)\s]+)\)/g
const HEADING = /^#{1,6} (.+)$/gm
const ID = /<a id="([^"]+)">/g

export const blocksOf = (markdown: string): readonly Block[] =>
  [...markdown.matchAll(FENCE)].map(([, language = '', text = '']) => ({ language, text }))

const proseOf = (markdown: string): string => markdown.replaceAll(FENCE, '')

/** Links inside the project; those of the web are not followed. */
export const linksOf = (markdown: string): readonly Link[] =>
  [...proseOf(markdown).matchAll(LINK)]
    .map(([, target = '']) => target)
    .filter(target => !/^[a-z]+:/.test(target))
    .map(target => {
      const [file = '', anchor] = target.split('#')
      return { file, anchor }
    })

/** A heading as the web pages of repositories name its place. */
const slugOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replaceAll(/\s/g, '-')

/** What a link may name behind `#`. */
export const anchorsOf = (markdown: string): ReadonlySet<string> =>
  new Set([
    ...[...proseOf(markdown).matchAll(HEADING)].map(([, heading = '']) => slugOf(heading)),
    ...[...markdown.matchAll(ID)].map(([, id = '']) => id),
  ])

/** The part of a document under a heading, up to the next one of the same rank or above. */
export function sectionOf(markdown: string, heading: string): string {
  const start = markdown.indexOf(`\n${heading}\n`)
  if (start === -1) throw new Error(`no heading "${heading}"`)
  const rank = heading.indexOf(' ')
  const rest = markdown.slice(start + heading.length + 2)
  const end = rest.search(new RegExp(`^#{1,${rank}} `, 'm'))
  return end === -1 ? rest : rest.slice(0, end)
}
