import { describe, expect, test } from 'bun:test'
import type { Store } from '../../src/store/store.ts'
import type { Template, Templates } from '../../src/store/template.ts'

const MOST = 10_000

export const template = (id: string, given: Partial<Template> = {}): Template => ({
  id,
  name: 'Name',
  eventType: 'e',
  payloadTemplate: '{"a":"{{b}}"}',
  defaultPriority: 'Normal',
  strict: false,
  createdAt: 1_700_000_000_000,
  updatedAt: 1_700_000_000_000,
  ...given,
})

const ALL = { entries: MOST, bytes: 1_000_000 }
const listed = async (templates: Templates, tenant: string): Promise<readonly Template[]> =>
  (await templates.list(tenant, '', ALL)).templates

/** Contract of templates that every store keeps, tested through its interface alone. `open` opens an empty store. */
export function templatesContract(name: string, open: () => Promise<Store>): void {
  const start = async () => {
    const store = await open()
    return { templates: store.templates, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() }
  }

  describe(`${name}: templates`, () => {
    const FULL = template('full', {
      name: 'é "\\\n\u0000',
      eventType: 'größe',
      payloadTemplate: '{ "b":1e400,"a":-0,"1":1.10,"s":"\\ud800\\u0061","n":12345678901234567890 }',
      defaultPriority: 'Critical',
      defaultTtl: 4_294_967_295,
      description: 'lone \ud800 and 😀',
      strict: true,
      updatedAt: 1_700_000_000_123,
    })

    test('a template is stored unchanged to the character', async () => {
      await using opened = await start()
      const { templates } = opened
      const plain = template('plain', { payloadTemplate: 'null', defaultTtl: 0, description: '' })
      for (const given of [FULL, plain, template('bare')]) {
        expect(await templates.create('acme', given, MOST)).toBe('created')
        expect(await templates.get('acme', given.id)).toEqual(given)
      }
    })

    test('a template belongs to one tenant', async () => {
      await using opened = await start()
      const { templates } = opened
      await templates.create('acme', template('t', { name: 'acme' }), MOST)
      expect(await templates.get('globex', 't')).toBeUndefined()
      expect(await listed(templates, 'globex')).toEqual([])
      expect(await templates.update('globex', 't', { name: 'x', updatedAt: 1 })).toBeUndefined()
      expect(await templates.delete('globex', 't')).toBe(false)
      expect(await templates.create('globex', template('t', { name: 'globex' }), MOST)).toBe('created')
      expect(await templates.delete('globex', 't')).toBe(true)
      expect(await listed(templates, 'acme')).toEqual([template('t', { name: 'acme' })])
    })

    test('list returns pages bounded by templates or characters, with the total', async () => {
      await using opened = await start()
      const { templates } = opened
      const payloadTemplate = JSON.stringify('x'.repeat(98))
      for (const id of ['d', 'b', 'a', 'e', 'c'])
        await templates.create('acme', template(id, { payloadTemplate }), MOST)
      const page = async (after: string, entries: number, bytes: number) => {
        const { templates: some, ...rest } = await templates.list('acme', after, { entries, bytes })
        return { ids: some.map(({ id }) => id).join(''), ...rest }
      }
      expect(await page('', 2, 1_000)).toEqual({ ids: 'ab', total: 5, hasMore: true })
      expect(await page('b', 9, 200)).toEqual({ ids: 'cd', total: 5, hasMore: true })
      expect(await page('d', 9, 1)).toEqual({ ids: 'e', total: 5, hasMore: false })
      expect(await page('e', 9, 1)).toEqual({ ids: '', total: 5, hasMore: false })
    })

    test('get finds a template only by its exact id', async () => {
      await using opened = await start()
      const { templates } = opened
      const ids = ['a', 'A', 'é', 'e\u0301', '__proto__', 'constructor', '名', '1', '01']
      for (const id of ids) expect(await templates.create('acme', template(id), MOST)).toBe('created')
      for (const id of ids) expect((await templates.get('acme', id))?.id).toBe(id)
      for (const id of ['', 'a ', 'toString', 'a\u0000', '%', '*', '__proto__.name'])
        expect(await templates.get('acme', id)).toBeUndefined()
    })

    test('only one of many simultaneous creates of an id succeeds', async () => {
      await using opened = await start()
      const { templates } = opened
      const tries = Array.from({ length: 20 }, (_, n) =>
        templates.create('acme', template('t', { name: `${n}` }), MOST),
      )
      const results = await Promise.all(tries)
      expect(results.filter(result => result === 'created')).toHaveLength(1)
      expect(results.filter(result => result === 'exists')).toHaveLength(19)
      const winner = results.indexOf('created')
      expect((await templates.get('acme', 't'))?.name).toBe(`${winner}`)
    })

    test('simultaneous creates never exceed the maximum', async () => {
      await using opened = await start()
      const { templates } = opened
      const results = await Promise.all(
        Array.from({ length: 10 }, (_, n) => templates.create('acme', template(`${n}`), 3)),
      )
      expect(results.filter(result => result === 'created')).toHaveLength(3)
      expect(results.filter(result => result === 'full')).toHaveLength(7)
      expect(await listed(templates, 'acme')).toHaveLength(3)
      const [first] = await listed(templates, 'acme')
      expect(await templates.create('acme', template(first?.id ?? ''), 3)).toBe('exists')
      expect(await templates.create('globex', template('x'), 3)).toBe('created')
      await templates.delete('acme', first?.id ?? '')
      expect(await templates.create('acme', template('y'), 3)).toBe('created')
    })

    test('list sorts templates by id in code point order', async () => {
      await using opened = await start()
      const { templates } = opened
      const sorted = ['-', '0', '10', '9', 'A', 'Z', '_', 'a', 'aa', 'b', 'é', '名', '\uffda', '𝒜']
      const mixed = sorted.toSorted((a, b) => (a + a.length > b + b.length ? 1 : -1)).toReversed()
      for (const id of mixed) await templates.create('acme', template(id), MOST)
      expect((await listed(templates, 'acme')).map(({ id }) => id)).toEqual(sorted)
    })

    test('update changes only the given fields', async () => {
      await using opened = await start()
      const { templates } = opened
      await templates.create('acme', FULL, MOST)
      const steps: [changes: Parameters<typeof templates.update>[2], after: Template][] = [
        [{ updatedAt: 1 }, { ...FULL, updatedAt: 1 }],
        [
          { name: 'n', strict: false, updatedAt: 2 },
          { ...FULL, name: 'n', strict: false, updatedAt: 2 },
        ],
        [
          {
            eventType: 'f',
            payloadTemplate: '0',
            defaultPriority: 'Low',
            defaultTtl: 0,
            description: '',
            updatedAt: 3,
          },
          {
            ...FULL,
            name: 'n',
            strict: false,
            eventType: 'f',
            payloadTemplate: '0',
            defaultPriority: 'Low',
            defaultTtl: 0,
            description: '',
            updatedAt: 3,
          },
        ],
      ]
      for (const [changes, after] of steps) {
        expect(await templates.update('acme', 'full', changes)).toEqual(after)
        expect(await templates.get('acme', 'full')).toEqual(after)
      }
      expect(await listed(templates, 'acme')).toEqual(steps.slice(-1).map(([, after]) => after))
    })

    test('update removes an optional field and adds it again', async () => {
      await using opened = await start()
      const { templates } = opened
      await templates.create('acme', FULL, MOST)
      const { defaultTtl, description, ...rest } = FULL
      const without = await templates.update('acme', 'full', {
        defaultTtl: null,
        description: null,
        updatedAt: 5,
      })
      expect(without).toStrictEqual({ ...rest, updatedAt: 5 })
      expect(await templates.get('acme', 'full')).toStrictEqual({ ...rest, updatedAt: 5 })
      expect(
        await templates.update('acme', 'full', { defaultTtl: 7, description: 'd', updatedAt: 6 }),
      ).toEqual({
        ...rest,
        defaultTtl: 7,
        description: 'd',
        updatedAt: 6,
      })
    })

    test('two simultaneous updates of different fields both take effect', async () => {
      await using opened = await start()
      const { templates } = opened
      await templates.create('acme', template('t'), MOST)
      await Promise.all([
        templates.update('acme', 't', { name: 'other', updatedAt: 2 }),
        templates.update('acme', 't', { eventType: 'f', updatedAt: 2 }),
        templates.update('acme', 't', { defaultTtl: 5, updatedAt: 2 }),
      ])
      expect(await templates.get('acme', 't')).toEqual(
        template('t', { name: 'other', eventType: 'f', defaultTtl: 5, updatedAt: 2 }),
      )
    })

    test('a deleted template is gone and can be created again', async () => {
      await using opened = await start()
      const { templates } = opened
      await templates.create('acme', FULL, MOST)
      expect(await templates.delete('acme', 'full')).toBe(true)
      expect(await templates.delete('acme', 'full')).toBe(false)
      expect(await templates.get('acme', 'full')).toBeUndefined()
      expect(await templates.update('acme', 'full', { name: 'n', updatedAt: 1 })).toBeUndefined()
      expect(await listed(templates, 'acme')).toEqual([])
      expect(await templates.create('acme', template('full'), MOST)).toBe('created')
      expect(await templates.get('acme', 'full')).toEqual(template('full'))
    })

    test('a stored template does not change with the object of the caller', async () => {
      await using opened = await start()
      const { templates } = opened
      const given = { ...template('t') }
      await templates.create('acme', given, MOST)
      Object.assign(given, { name: 'changed later' })
      expect((await templates.get('acme', 't'))?.name).toBe('Name')
    })
  })
}
