/** Fenced code block with its language and text. */
export interface Block {
  readonly language: string
  readonly text: string
}

export interface Link {
  /** Target file; empty means this document. */
  readonly file: string
  readonly anchor: string | undefined
}

const FENCE = /^```(\w*)\n([\s\S]*?)^```$/gm
const LINK = /\]\(([^)\s]+)\)/g
const HEADING = /^#{1,6} (.+)$/gm
const ID = /<a id="([^"]+)">/g

export const blocksOf = (markdown: string): readonly Block[] =>
  [...markdown.matchAll(FENCE)].map(([, language = '', text = '']) => ({ language, text }))

const FILE = /`([\w./-]+)`:\n\n```\w+\n([\s\S]*?)^```$/gm

/** Finds the files of a document: a path at the end of a sentence, then a block: "The page. `index.html`:". */
export const filesOf = (markdown: string): Readonly<Record<string, string>> =>
  Object.fromEntries([...markdown.matchAll(FILE)].map(([, path = '', text = '']) => [path, text]))

const proseOf = (markdown: string): string => markdown.replaceAll(FENCE, '')

/** Finds links inside the project, without web links. */
export const linksOf = (markdown: string): readonly Link[] =>
  [...proseOf(markdown).matchAll(LINK)]
    .map(([, target = '']) => target)
    .filter(target => !/^[a-z]+:/.test(target))
    .map(target => {
      const [file = '', anchor] = target.split('#')
      return { file, anchor }
    })

/** Makes the anchor of a heading, as repository web pages do. */
const slugOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replaceAll(/\s/g, '-')

/** Lists the anchors of a document. */
export const anchorsOf = (markdown: string): ReadonlySet<string> =>
  new Set([
    ...[...proseOf(markdown).matchAll(HEADING)].map(([, heading = '']) => slugOf(heading)),
    ...[...markdown.matchAll(ID)].map(([, id = '']) => id),
  ])

/** Returns the section under a heading, up to the next heading of the same rank or above. */
export function sectionOf(markdown: string, heading: string): string {
  const start = markdown.indexOf(`\n${heading}\n`)
  if (start === -1) throw new Error(`no heading "${heading}"`)
  const rank = heading.indexOf(' ')
  const rest = markdown.slice(start + heading.length + 2)
  const end = rest.search(new RegExp(`^#{1,${rank}} `, 'm'))
  return end === -1 ? rest : rest.slice(0, end)
}
