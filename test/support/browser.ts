import { type Browser, chromium } from 'playwright-core'

/** What to type when nothing else helps. */
export const ADVICE =
  'Tests need a Chromium: type "apt-get install -y --no-install-recommends chromium-headless-shell" (or install chromium or google-chrome).'

const PROGRAMS = ['chromium', 'chromium-headless-shell', 'google-chrome', 'google-chrome-stable']

/** The path of a Chromium; undefined when there is none. */
export const findBrowser = (): string | undefined =>
  PROGRAMS.map(name => Bun.which(name)).find(path => path !== null) ?? undefined

/** A Chromium for which `host` (`localhost:8081`) is a port of this machine, so that pages and samples need not be changed. */
export async function startBrowser({
  host,
  port,
  args = [],
}: {
  readonly host: string
  readonly port: number
  readonly args?: readonly string[]
}): Promise<Browser> {
  const executablePath = findBrowser()
  if (executablePath === undefined) throw new Error(ADVICE)
  return chromium.launch({
    executablePath,
    args: [
      // As root, as in containers, Chromium has no sandbox; /dev/shm is small there.
      '--no-sandbox',
      '--disable-dev-shm-usage',
      `--host-resolver-rules=MAP ${host} 127.0.0.1:${port}`,
      ...args,
    ],
  })
}
