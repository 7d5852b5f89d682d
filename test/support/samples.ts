import { join } from 'node:path'

const PAGE = join(import.meta.dir, '../../docs/COMPATIBILITY.md')

/** A sample that clients of version 1 were written after, as `docs/COMPATIBILITY.md` has it under that heading. */
export async function sample(heading: string): Promise<string> {
  const text = await Bun.file(PAGE).text()
  const [, code] = new RegExp(`^### ${heading}\\n\\n\`\`\`\\w+\\n(.*?)^\`\`\``, 'ms').exec(text) ?? []
  if (code === undefined) throw new Error(`docs/COMPATIBILITY.md has no sample "${heading}"`)
  return code
}
