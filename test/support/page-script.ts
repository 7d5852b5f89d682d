import { join } from 'node:path'

/** Bundles a file of this folder for a page, with React as in development. */
export async function pageScript(file: string): Promise<string> {
  const { outputs } = await Bun.build({
    entrypoints: [join(import.meta.dir, file)],
    target: 'browser',
    define: { 'process.env.NODE_ENV': '"development"' },
  })
  return (await outputs[0]?.text()) ?? ''
}
