import { join } from 'node:path'
import { blocksOf, sectionOf } from './markdown.ts'

const PAGE = join(import.meta.dir, '../../docs/COMPATIBILITY.md')

/** A sample that clients of version 1 were written after, as `docs/COMPATIBILITY.md` has it under that heading. */
export async function sample(heading: string): Promise<string> {
  const [block] = blocksOf(sectionOf(await Bun.file(PAGE).text(), `### ${heading}`))
  if (block === undefined) throw new Error(`docs/COMPATIBILITY.md has no sample "${heading}"`)
  return block.text
}
