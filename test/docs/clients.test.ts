import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { startTestApp } from '../support/app.ts'
import { curlLines, readCurl, runCurl } from '../support/curl.ts'
import { blocksOf, sectionOf } from '../support/markdown.ts'
import { startProxy } from '../support/proxy.ts'

interface Notified {
  readonly payload: number
  readonly cursor: string
}

type Listen = (options: {
  readonly url: string
  readonly getToken: () => Promise<string>
  readonly onNotification: (notification: Notified) => void
  readonly onGap?: (reason: string) => void
  readonly cursor?: string
}) => () => void

const page = await Bun.file(join(import.meta.dir, '../../docs/CLIENTS.md')).text()
const [example = ''] = blocksOf(sectionOf(page, '## WebSocket, with resume')).map(({ text }) => text)
// As a page would load it.
const { listen }: { readonly listen: Listen } = await import(
  `data:text/javascript;base64,${Buffer.from(example).toString('base64')}`
)

const send = (payload: number) => ({ target_user_id: 'ann', event_type: 'e', payload })
const PATH = '/api/v1/notifications/send'

/** Collects until there are as many as asked for. */
function collecting() {
  const seen: Notified[] = []
  let wanted = 0
  let reached = Promise.withResolvers<void>()
  return {
    seen,
    take: (notification: Notified) => {
      seen.push(notification)
      if (seen.length >= wanted) reached.resolve()
    },
    until: (count: number): Promise<void> => {
      wanted = count
      reached = Promise.withResolvers()
      if (seen.length >= count) reached.resolve()
      return reached.promise
    },
  }
}

test('the example client gets each notification once, through a cut of the network and a restart of its own', async () => {
  await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
  await using line = await startProxy(service.port)
  const { seen, take, until } = collecting()
  const client = (cursor?: string) =>
    listen({
      url: `ws://127.0.0.1:${line.port}`,
      getToken: () => service.token('ann'),
      onNotification: take,
      onGap: reason => seen.push({ payload: -1, cursor: reason }),
      ...(cursor !== undefined && { cursor }),
    })
  await service.post(PATH, send(1))
  const stop = client()
  await until(1)
  await service.post(PATH, send(2))
  await until(2)
  line.cut()
  await service.post(PATH, send(3))
  await until(3)
  stop()
  await service.post(PATH, send(4))
  const stopAgain = client(seen.at(-1)?.cursor)
  await until(4)
  stopAgain()
  expect(seen.map(({ payload }) => payload)).toEqual([1, 2, 3, 4])
})

test('the example client is told when something could not be kept', async () => {
  await using service = await startTestApp({ QUEUE_ENABLED: 'true' })
  const told = Promise.withResolvers<string>()
  const stop = listen({
    url: `ws://127.0.0.1:${service.port}`,
    getToken: () => service.token('ann'),
    onNotification: () => {},
    onGap: told.resolve,
    cursor: 'another-life:7',
  })
  expect(await told.promise).toBe('epoch_changed')
  stop()
})

test('every line of curl for clients is answered', async () => {
  await using service = await startTestApp({ QUEUE_ENABLED: 'true', ACK_ENABLED: 'true' })
  const token = await service.token('ann')
  await service.post(PATH, send(1))
  const { json } = await service.get(`/api/v1/users/ann/notifications`)
  const lines = blocksOf(sectionOf(page, '## curl')).flatMap(({ text }) => curlLines(text))
  const statuses: number[] = []
  for (const text of lines) {
    const request = readCurl(text.replaceAll('k3f9:12', json.cursor), { TOKEN: token })
    const answer = await runCurl(request, service.url)
    statuses.push(answer.status)
    await answer.body?.cancel()
  }
  expect(statuses).toEqual([200, 200, 200, 200])
})
