/** A program that runs a sample of the documents. */
export interface Language {
  /** The sample's file name, which tells the program how to read it. */
  readonly file: string
  /** Undefined where the program is missing. */
  readonly find: () => string | undefined
  /** What to type when it is missing. */
  readonly advice: string
}

const find = (name: string) => (): string | undefined => Bun.which(name) ?? undefined

/** By the language that a code block names. */
export const LANGUAGES = {
  js: { file: 'sample.mjs', find: () => Bun.which('node') ?? process.execPath, advice: '' },
  python: {
    file: 'sample.py',
    find: find('python3'),
    advice: 'Tests need Python: type "apt-get install -y --no-install-recommends python3".',
  },
  php: {
    file: 'sample.php',
    find: find('php'),
    advice: 'Tests need PHP: type "apt-get install -y --no-install-recommends php-cli".',
  },
} as const satisfies Record<string, Language>
