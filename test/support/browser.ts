import { type Browser, chromium } from 'playwright-core'

/** Advice for a missing program: the command to type. */
export const ADVICE =
  'Tests need a Chromium: type "apt-get install -y --no-install-recommends chromium-headless-shell" (or install chromium or google-chrome).'

const PROGRAMS = ['chromium', 'chromium-headless-shell', 'google-chrome', 'google-chrome-stable']

/** Finds the path of Chromium; undefined if missing. */
export const findBrowser = (): string | undefined =>
  PROGRAMS.map(name => Bun.which(name)).find(path => path !== null) ?? undefined

/** Starts Chromium with `host` (`localhost:8081`) mapped to a local port, so that samples run unchanged. */
export async function startBrowser({
  host,
  port,
}: {
  readonly host: string
  readonly port: number
}): Promise<Browser> {
  const executablePath = findBrowser()
  if (executablePath === undefined) throw new Error(ADVICE)
  return chromium.launch({
    executablePath,
    args: [
      // Chromium has no sandbox as root (containers), where /dev/shm is small.
      '--no-sandbox',
      '--disable-dev-shm-usage',
      // Pages without an address may else open no WebSocket to this machine.
      '--disable-features=LocalNetworkAccessChecks',
      `--host-resolver-rules=MAP ${host} 127.0.0.1:${port}`,
    ],
  })
}
