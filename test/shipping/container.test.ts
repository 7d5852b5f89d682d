import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { engines, version } from '../../package.json' with { type: 'json' }
import { loadConfig } from '../../src/config/config.ts'
import { SETTINGS } from '../../src/config/settings.ts'

const read = (path: string): Promise<string> => Bun.file(join(import.meta.dir, '../..', path)).text()

/** Instructions of the Dockerfile, continued lines joined. */
const instructions = (await read('Dockerfile'))
  .replaceAll('\\\n', ' ')
  .split('\n')
  .filter(line => line !== '' && !line.startsWith('#'))
const of = (name: string) => instructions.filter(line => line.startsWith(`${name} `))

interface Service {
  readonly image?: string
  readonly build?: { readonly context: string; readonly args: Readonly<Record<string, string>> }
  readonly ports?: readonly string[]
  readonly environment?: Readonly<Record<string, string | number>>
  readonly volumes?: readonly string[]
  readonly depends_on?: unknown
  readonly stop_grace_period?: string
}
const { services, volumes } = Bun.YAML.parse(await read('compose.yaml')) as {
  services: Readonly<Record<string, Service>>
  volumes: Readonly<Record<string, unknown>>
}

test('the image uses the Bun version of the project and carries the version of the service', () => {
  expect(of('FROM')[0]).toBe(`FROM oven/bun:${engines.bun.replace('>=', '')} AS build`)
  expect(of('LABEL').join()).toContain(`org.opencontainers.image.version="${version}"`)
})

test('the image is told the commit that --version shows', () => {
  expect(of('ARG')).toEqual(['ARG COMMIT='])
  expect(Object.keys(services['notification']?.build?.args ?? {})).toEqual(['COMMIT'])
})

test('the image sets no setting, runs as a user without rights, and the service is PID 1', () => {
  expect(of('ENV')).toEqual([])
  expect(of('USER')).toEqual(['USER 65532:65532'])
  expect(of('ENTRYPOINT')).toEqual(['ENTRYPOINT ["/usr/local/bin/ara-notification-service"]'])
  expect(of('CMD')).toEqual([])
  expect(of('EXPOSE')).toEqual([`EXPOSE ${SETTINGS.SERVER_PORT.default}`])
})

test('the health check of the image needs no other program', () => {
  expect(of('HEALTHCHECK')[0]).toEndWith('CMD ["/usr/local/bin/ara-notification-service", "health"]')
})

test('the build context contains only the files of the image', async () => {
  const allowed = (await read('.dockerignore')).split('\n').filter(line => line.startsWith('!'))
  const copied = of('COPY')
    .filter(line => !line.includes('--from'))
    .flatMap(line => line.split(' ').slice(1, -1))
  expect(allowed.map(line => line.slice(1)).sort()).toEqual(copied.toSorted())
  expect(await read('.dockerignore')).toContain('\n*\n')
})

test('in compose, backends reach http://notification:8081 and the service reaches its Redis', () => {
  const { notification, redis } = services
  expect(notification?.ports).toEqual(['8081:8081'])
  expect(notification?.environment).toMatchObject({ SERVER_PORT: 8081, REDIS_URL: 'redis://redis:6379' })
  expect(redis?.image).toMatch(/^redis:/)
  // No condition: the service starts without Redis and connects later.
  expect(notification?.depends_on).toEqual(['redis'])
})

test('compose stores the log on a volume, in a folder that the user of the image owns', () => {
  const { notification } = services
  const [name = '', folder = ''] = notification?.volumes?.[0]?.split(':') ?? []
  expect(Object.keys(volumes)).toEqual([name])
  expect(notification?.environment).toMatchObject({
    QUEUE_ENABLED: 'true',
    STORE_URL: `sqlite:${folder}/ara.db`,
  })
  expect(of('COPY').filter(line => line.endsWith(` ${folder}`))).toEqual([
    `COPY --from=build --chown=65532:65532 /build/data ${folder}`,
  ])
})

test('compose starts without any setting, in development, and waits for the whole drain', () => {
  const { notification } = services
  const env = Object.entries(notification?.environment ?? {}).map(([name, value]) => [name, String(value)])
  const { config } = loadConfig(Object.fromEntries(env))
  expect([config.production, config.madeSecret, config.serverPort]).toEqual([false, true, 8081])
  expect(Number.parseInt(notification?.stop_grace_period ?? '', 10)).toBeGreaterThan(config.drainSeconds + 1)
})
