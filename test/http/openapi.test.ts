import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { Validator } from '@seriousme/openapi-schema-validator'
import { ERRORS } from '../../src/errors.ts'
import { describe as describeRoutes } from '../../src/http/openapi/document.ts'
import { OPERATIONS } from '../../src/http/routes/operations.ts'
import { startTestApp } from '../support/app.ts'
import { sectionOf } from '../support/markdown.ts'
import {
  checksOf,
  DOCUMENT as document,
  faultOf,
  type Json,
  operationsOf,
  refusalsOf,
  resolve,
} from '../support/openapi.ts'

const operations = operationsOf(document)
const nameOf = ({ method, path }: { readonly method: string; readonly path: string }) => `${method} ${path}`

/** Examples of a body or an answer. */
const examplesIn = (place: Json): [schema: Json, name: string, value: unknown][] =>
  Object.values<Json>(resolve(document, place)?.content ?? {}).flatMap(({ schema, examples = {} }) =>
    Object.entries<Json>(examples).map(
      ([name, { value }]) => [schema, name, value] as [Json, string, unknown],
    ),
  )

describe('the document', () => {
  test('is OpenAPI 3.1', async () => {
    const { valid, errors } = await new Validator().validate(structuredClone(document))
    expect([valid, errors]).toEqual([true, undefined])
    expect(document.openapi).toStartWith('3.1.')
  })

  test('is not valid OpenAPI with a fault in it', async () => {
    const broken = structuredClone(document)
    broken.paths['/health'].get.responses['200'].content['application/json'].schema.$ref =
      '#/components/schemas/None'
    expect((await new Validator().validate(broken)).valid).toBe(false)
  })

  test('is stable, and is not resent to a client with a current copy', async () => {
    await using service = await startTestApp()
    const [first, second] = [
      await fetch(`${service.url}/openapi.json`),
      await fetch(`${service.url}/openapi.json`),
    ]
    expect(await first.text()).toBe(await second.text())
    const etag = first.headers.get('etag') ?? ''
    const again = await fetch(`${service.url}/openapi.json`, {
      headers: { 'if-none-match': `"other", W/${etag}` },
    })
    expect([again.status, await again.text(), again.headers.get('etag')]).toEqual([304, '', etag])
    const head = await fetch(`${service.url}/openapi.json`, { method: 'HEAD' })
    expect([head.status, await head.text(), head.headers.get('etag')]).toEqual([200, '', etag])
  })
})

describe('every route', () => {
  test('is described, and no other', () => {
    const described = Object.keys(OPERATIONS).map(key => key.replaceAll(/:(\w+)/g, '{$1}'))
    expect(operations.map(nameOf).sort()).toEqual(described.sort())
  })

  test('without an operation prevents the document', () => {
    const route = { method: 'GET', path: '/new', hooks: { detail: { summary: 'New', security: [] } } }
    expect(() => describeRoutes({ routes: [route], version: '1.0.0' })).toThrow('GET /new has no operation')
  })

  test('of docs/API.md exists', async () => {
    const page = await Bun.file(join(import.meta.dir, '../../docs/API.md')).text()
    const named = sectionOf(page, '## Routes')
      .split('\n')
      .flatMap(line => {
        const [, methods = '', paths = ''] = line.split('|')
        return [...methods.matchAll(/[A-Z]{3,}/g)].flatMap(([method]) =>
          [...paths.matchAll(/`(\/[^`]*)`/g)].map(([, path]) => `${method} ${path}`),
        )
      })
    expect(named.sort()).toEqual(
      operations
        .map(nameOf)
        .filter(name => !name.includes('/docs/'))
        .sort(),
    )
  })

  test('has a unique id, a summary, and a described tag', () => {
    const ids = operations.map(({ operation }) => operation.operationId)
    expect(new Set(ids).size).toBe(ids.length)
    const tags = document.tags.map(({ name }: Json) => name)
    for (const { operation } of operations)
      expect([operation.summary.length > 0, tags.includes(operation.tags[0])]).toEqual([true, true])
  })

  test('with a body has examples of the body and the answer', () => {
    for (const { operation } of operations.filter(each => each.operation.requestBody))
      expect(examplesIn(operation.requestBody).length).toBeGreaterThan(0)
    const isJson = ({ operation }: Json) => operation.responses['200']?.content?.['application/json']
    for (const each of operations.filter(isJson).filter(({ path }) => path !== '/openapi.json'))
      expect([each.path, examplesIn(each.operation.responses['200']).length > 0]).toEqual([each.path, true])
  })
})

describe('every error code', () => {
  test('over HTTP is described with its status, and no other code is', () => {
    const described = new Set(
      operations.flatMap(({ operation }) => refusalsOf(document, operation)).map(pair => pair.join(' ')),
    )
    const known = Object.entries(ERRORS).flatMap(([code, row]) =>
      'status' in row ? [`${row.status} ${code}`] : [],
    )
    // Codes of unknown paths and methods, which the description explains.
    const elsewhere = ['405 METHOD_NOT_ALLOWED']
    expect([...described].sort()).toEqual(
      [...known, '400 VALIDATION_ERROR'].filter(pair => !elsewhere.includes(pair)).sort(),
    )
    for (const code of Object.keys(ERRORS))
      expect(document.info.description.includes(`\`${code}\``)).toBe(
        known.some(pair => pair.endsWith(` ${code}`)),
      )
  })
})

describe('every example', () => {
  const check = checksOf(document, { isClosed: true })

  for (const { method, path, operation } of operations)
    test(`of ${method} ${path} matches its schema`, () => {
      const places = [operation.requestBody, ...Object.values(operation.responses)]
      for (const [schema, name, value] of places.flatMap(examplesIn))
        expect([name, check(schema, value)]).toEqual([name, undefined])
      for (const { name, schema, example } of operation.parameters.map((each: Json) =>
        resolve(document, each),
      ))
        if (example !== undefined) expect([name, check(schema, example)]).toEqual([name, undefined])
    })
})

describe('the check of answers finds a fault', () => {
  const check = checksOf(document, { isClosed: true })
  const good = {
    method: 'GET',
    path: '/health/live',
    status: 200,
    headers: new Headers({ 'content-type': 'application/json', 'x-request-id': 'r' }),
    text: '{"status":"alive"}',
  }
  const withHeader = (name: string, value: string) => {
    const headers = new Headers(good.headers)
    headers.set(name, value)
    return headers
  }

  test('unless the answer matches the document', () => {
    expect(faultOf(document, check, good)).toBeUndefined()
  })

  for (const [what, more, fault] of [
    ['a status', { status: 202 }, 'the status 202'],
    ['a key', { text: '{"status":"alive","more":1}' }, 'additional properties'],
    ['a value', { text: '{"status":"dead"}' }, 'equal to constant'],
    ['a missing key', { text: '{}' }, 'required'],
    ['a header', { headers: withHeader('retry-after', '1') }, 'the header retry-after'],
    [
      'a missing header',
      { headers: new Headers({ 'content-type': 'application/json' }) },
      'no header x-request-id',
    ],
    ['a media type', { headers: withHeader('content-type', 'text/plain') }, 'a body of text/plain'],
    ['a code', { status: 500, text: '{"error":{"code":"NOT_READY","message":""}}' }, 'allowed values'],
    ['a path', { path: '/new' }, 'an answer to GET /new'],
  ] as const)
    test(`in ${what} that is not described`, () => {
      expect(faultOf(document, check, { ...good, ...more })).toContain(fault)
    })
})
