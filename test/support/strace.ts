/** What to type when nothing else helps. */
export const ADVICE =
  'Whether an fsync precedes each answer is only seen with strace: type "apt-get install -y --no-install-recommends strace", and allow processes to be traced.'

export const hasStrace = (): boolean => Bun.which('strace') !== null

/** Whether the system lets us see what a process asks of it; says what is missing when not. */
export function canTrace(): boolean {
  const works = hasStrace() && Bun.spawnSync(['strace', '-qq', '-o', '/dev/null', 'true']).success
  if (!works) console.log(ADVICE)
  return works
}
