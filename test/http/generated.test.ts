import { expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import openapiTypes, { astToString } from 'openapi-typescript'
import { API_KEY, startTestApp } from '../support/app.ts'
import { DOCUMENT } from '../support/openapi.ts'
import { ADVICE, GENERATOR, hasPythonClient, PYTHON } from '../support/python-client.ts'

const GENERATING_MS = 60_000

async function place() {
  const path = await mkdtemp(join(tmpdir(), 'generated-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

/** Output of a program; fails the test with it after a failure. */
async function run(command: readonly string[], cwd: string): Promise<string> {
  const child = Bun.spawn([...command], { cwd, stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' })
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  expect([command.at(-1), code, code === 0 ? '' : out + err]).toEqual([command.at(-1), 0, ''])
  return out
}

const PYTHON_PROGRAM = `
import sys
from ara import AuthenticatedClient
from ara.api.clients import acknowledge
from ara.api.looking_up import list_notifications_of_user
from ara.api.operating import get_health
from ara.api.sending import batch, broadcast, send_to_user
from ara.api.templates import create_template, list_templates
from ara.models import *

url, key, token = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=key, prefix='', auth_header_name='X-API-Key')
sent = send_to_user.sync(client=client, body=SendToUserDirectly(target_user_id='u', event_type='e', payload={'n': 1}, ttl=60))
template = create_template.sync(client=client, body=TemplateCreation(id='t', name='T', event_type='e', payload_template='{{x}}'))
several = batch.sync(client=client, body=Batch(notifications=[
  BatchItemDirectly(target=BatchTargetType0(type_='user', value='u'), event_type='e', payload=[1]),
  BatchItemByTemplate(target=BatchTargetType2(type_='broadcast'), template_id='t'),
], options=BatchOptions(stop_on_error=False)))
everybody = broadcast.sync(client=client, body=BroadcastDirectly(event_type='e', payload=None))
listed = list_notifications_of_user.sync('u', client=client)
refused = send_to_user.sync(client=client, body=SendToUserDirectly(target_user_id='..', event_type='e', payload=1))
own = AuthenticatedClient(base_url=url, token=token)
acked = acknowledge.sync(client=own, body=AcknowledgementType0(notification_ids=[str(sent.notification_id)]))
print(sent.status.value, template.id, several.summary.total, everybody.status.value, len(listed.notifications),
  list_templates.sync(client=client).total, refused.error.code.value, len(acked.acked), get_health.sync(client=client).status.value)
`

test(
  'a Python client generated from the document calls the service',
  async () => {
    if (!hasPythonClient()) throw new Error(ADVICE)
    await using directory = await place()
    const { path } = directory
    await Bun.write(join(path, 'openapi.json'), JSON.stringify(DOCUMENT))
    await Bun.write(join(path, 'config.yml'), 'post_hooks: []\n')
    await Bun.write(join(path, 'program.py'), PYTHON_PROGRAM)
    const generated = await run(
      [
        GENERATOR,
        'generate',
        '--path',
        'openapi.json',
        '--output-path',
        'ara',
        '--meta',
        'none',
        '--config',
        'config.yml',
      ],
      path,
    )
    expect(generated).not.toContain('Warning')
    await using service = await startTestApp({ QUEUE_ENABLED: 'true', ACK_ENABLED: 'true' })
    const out = await run([PYTHON, 'program.py', service.url, API_KEY, await service.token('u')], path)
    expect(out.trim()).toBe('queued t 2 no_recipient 2 1 VALIDATION_ERROR 1 healthy')
  },
  GENERATING_MS,
)

const TYPESCRIPT_PROGRAM = `
import type { paths } from './ara.ts'

type Body<P extends keyof paths> = paths[P] extends { post: { requestBody: { content: { 'application/json': infer B } } } } ? B : never
type Answer<P extends keyof paths> = paths[P] extends { post: { responses: { 200: { content: { 'application/json': infer A } } } } } ? A : never

const [url, key] = process.argv.slice(2)
async function post<P extends keyof paths>(path: P, body: Body<P>): Promise<Answer<P>> {
  const headers = { 'content-type': 'application/json', 'x-api-key': key ?? '' }
  return (await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) })).json() as Promise<Answer<P>>
}
const sent = await post('/api/v1/notifications/send', { target_user_id: 'u', event_type: 'e', payload: { n: 1 }, priority: 'High' })
const several = await post('/api/v1/notifications/batch', {
  notifications: [{ target: { type: 'broadcast' }, template_id: 'none' }],
  options: { deduplicate: true, stop_on_error: false },
})
const status: 'queued' | 'delivered' | 'partial' | 'no_recipient' | 'expired' = sent.status
console.log(status, several.summary.failed, several.results[0]?.code)
// @ts-expect-error: not a priority.
void (() => post('/api/v1/notifications/send', { target_user_id: 'u', event_type: 'e', payload: 1, priority: 'Urgent' }))
// @ts-expect-error: a target is missing.
void (() => post('/api/v1/notifications/send', { event_type: 'e', payload: 1 }))
`

const TYPESCRIPT_CONFIG = {
  compilerOptions: {
    strict: true,
    noEmit: true,
    target: 'ESNext',
    module: 'Preserve',
    moduleResolution: 'bundler',
    allowImportingTsExtensions: true,
    lib: ['ESNext', 'DOM'],
    types: [],
  },
  files: ['program.ts', 'globals.d.ts'],
}

test(
  'TypeScript types generated from the document fit calls of the service',
  async () => {
    await using directory = await place()
    const { path } = directory
    const types = astToString(await openapiTypes(JSON.stringify(DOCUMENT)))
    await Bun.write(join(path, 'ara.ts'), types)
    await Bun.write(join(path, 'program.ts'), TYPESCRIPT_PROGRAM)
    await Bun.write(join(path, 'globals.d.ts'), 'declare const process: { readonly argv: string[] }\n')
    await Bun.write(join(path, 'tsconfig.json'), JSON.stringify(TYPESCRIPT_CONFIG))
    const compiler = join(import.meta.dir, '../../node_modules/typescript/bin/tsc')
    await run([process.execPath, compiler, '--project', path], path)
    await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
    const out = await run([process.execPath, 'program.ts', service.url, API_KEY], path)
    expect(out.trim()).toBe('queued 1 VALIDATION_ERROR')
  },
  GENERATING_MS,
)
