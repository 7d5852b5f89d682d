import { heapStats } from 'bun:jsc'
import { expect, test } from 'bun:test'
import { createComposer } from '../../src/dispatch/compose.ts'
import type { TemplateContent } from '../../src/notification/content.ts'
import type { Template } from '../../src/store/template.ts'

const MAX_TEXT = 65_536

function heap(): number {
  Bun.gc(true)
  const { heapSize, extraMemorySize } = heapStats()
  return heapSize + extraMemorySize
}

const templateOf = (payloadTemplate: string): Template => ({
  id: 't',
  name: 'n',
  eventType: 'e',
  payloadTemplate,
  defaultPriority: 'Normal',
  strict: false,
  createdAt: 1,
  updatedAt: 1,
})

/** A composer as the service uses it: one for all tenants. */
function start() {
  const { compose } = createComposer({ templates: { get: async () => undefined } })
  return (template: Template, variables: object, content: Partial<TemplateContent> = {}) =>
    compose(
      {
        content: { template_id: 't', ...content },
        raw: new Map([['variables', JSON.stringify(variables)]]),
        at: '',
        id: 'id',
        source: 'http-api',
        now: 1,
      },
      template,
    )
}

const payloadOf = (made: ReturnType<ReturnType<typeof start>>): string | undefined =>
  'payload' in made ? String(made.payload) : undefined

test.each([
  ['for one variable', (n: number) => `{{a}}${n}`],
  ['for different variables', (n: number) => `{{${(n * 100_000).toString(36)}}}`],
])(
  'templates full of places %s take a few megabytes of memory at most',
  (_, piece) => {
    const compose = start()
    const texts = Array.from({ length: 400 }, (_, n) => {
      let text = ''
      for (let m = 0; text.length < MAX_TEXT - 40; m++) text += piece(n * 10_000 + m)
      return JSON.stringify(text)
    })
    const templates = texts.map(text => templateOf(Buffer.from(text).toString()))
    const before = heap()
    for (const template of templates) expect(payloadOf(compose(template, { a: '' }))).toBeDefined()
    expect(heap() - before).toBeLessThan(48 * 1024 * 1024)
  },
  30_000,
)

test('rendering follows the text of a template, not its object', () => {
  const compose = start()
  const template = templateOf('"one {{a}}"')
  expect(payloadOf(compose(template, { a: 1 }))).toBe('"one 1"')
  // Id and time of change are equal: another node wrote it, or a clock was set back.
  expect(payloadOf(compose({ ...template, payloadTemplate: '"two {{a}}"' }, { a: 1 }))).toBe('"two 1"')
  expect(payloadOf(compose({ ...template }, { a: 2 }))).toBe('"one 2"')
})

test('an error names twenty of thousands of missing variables', () => {
  const names = Array.from({ length: 5_000 }, (_, n) => `{{a${n}}}`).join('')
  const made = start()(templateOf(JSON.stringify(names)), {}, { strict: true })
  expect(made).toMatchObject({ reason: 'variables' })
  expect('faults' in made && made.faults).toHaveLength(20)
})
