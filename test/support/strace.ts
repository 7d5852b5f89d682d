/** Advice for a missing program: the command to type. */
export const ADVICE =
  'Whether an fsync precedes each answer is only seen with strace: type "apt-get install -y --no-install-recommends strace", and allow processes to be traced.'

export const hasStrace = (): boolean => Bun.which('strace') !== null

/** Tells whether strace works here, or what is missing. */
export function canTrace(): boolean {
  const works = hasStrace() && Bun.spawnSync(['strace', '-qq', '-o', '/dev/null', 'true']).success
  if (!works) console.log(ADVICE)
  return works
}
