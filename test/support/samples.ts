import { join } from 'node:path'
import { blocksOf, sectionOf } from './markdown.ts'

const DOCS = join(import.meta.dir, '../../docs')

async function blocksUnder(document: string, heading: string): Promise<readonly string[]> {
  const blocks = blocksOf(sectionOf(await Bun.file(join(DOCS, document)).text(), heading))
  if (blocks.length === 0) throw new Error(`docs/${document} has no sample under "${heading}"`)
  return blocks.map(({ text }) => text)
}

/** Sample of `docs/COMPATIBILITY.md` under this heading, which clients of version 1 follow. */
export async function sample(heading: string): Promise<string> {
  const [text = ''] = await blocksUnder('COMPATIBILITY.md', `### ${heading}`)
  return text
}

/** Code blocks of `docs/PROTOCOL.md` under a heading. */
export const protocolBlocks = (heading: string): Promise<readonly string[]> =>
  blocksUnder('PROTOCOL.md', `## ${heading}`)

const client = async (heading: string): Promise<string> => {
  const [text = ''] = await protocolBlocks(heading)
  return text
}

/** Modules of `docs/PROTOCOL.md`, by their file names. */
export const clientModules = async (): Promise<Readonly<Record<string, string>>> => ({
  'ara.js': (await client('A client that resumes')) + (await client('SSE')),
  'ara-tabs.js': await client('Several tabs'),
  'ara-log.js': await client('A list that survives a reload'),
  'ara-react.js': await client('React'),
})
