/** Program that runs a sample of the documents. */
export interface Language {
  /** File name of the sample, whose extension tells the program the language. */
  readonly file: string
  /** Path of the program; undefined if missing. */
  readonly find: () => string | undefined
  /** Advice for a missing program: the command to type. */
  readonly advice: string
}

const find = (name: string) => (): string | undefined => Bun.which(name) ?? undefined

/** Programs by the language of a code block. */
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
