import { expect, test } from 'bun:test'
import { withoutFilePaths } from '../../src/http/answer/file-paths.ts'

test('file paths are removed from a text, and nothing else', () => {
  for (const [text, shown] of [
    ["EMFILE: too many open files, open '/srv/app/a.css'", "EMFILE: too many open files, open '…'"],
    ['Cannot find module "file:///srv/app/a.ts" from /srv/b.ts', 'Cannot find module "…" from …'],
    ['at /srv/app/a.ts:3:4', 'at …:3:4'],
    ['connect ECONNREFUSED 127.0.0.1:6379', 'connect ECONNREFUSED 127.0.0.1:6379'],
    ['expected a/b, and/or 1/2', 'expected a/b, and/or 1/2'],
  ] as const)
    expect(withoutFilePaths(text)).toBe(shown)
})
