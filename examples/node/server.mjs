import { createServer } from 'node:http'
import { AraError, createServerClient } from 'ara-client/server'

const { ARA_URL = 'http://localhost:8081', API_KEY, JWT_SECRET, PORT = '3000' } = process.env
const ara = createServerClient({ url: ARA_URL, apiKey: API_KEY, secret: JWT_SECRET })

/** Replace this by the user of your session. */
const signedInUser = () => 'alice'

const ROUTES = {
  'GET /token': () => ara.token({ user: signedInUser() }),

  // The key stands for the event: however often this runs, the user gets one notification.
  'POST /ship': async query => {
    const order = Number(query.get('order'))
    if (!(order > 0)) return undefined
    return await ara.user(signedInUser(), {
      event_type: 'order.shipped',
      payload: { order },
      idempotency_key: `order-${order}-shipped`,
    })
  },

  'POST /say': query =>
    ara.channel(query.get('room') ?? '', {
      event_type: 'room.message',
      payload: { room: query.get('room'), from: signedInUser(), text: query.get('text') },
    }),

  // A batch answers with one result per item: an item that failed does not stop the others.
  'POST /bill': async query => {
    const { results, summary } = await ara.batch(
      query.getAll('user').map(user => ({
        target: { type: 'user', value: user },
        event_type: 'invoice.ready',
        payload: { month: query.get('month') },
      })),
      { idempotency_key: `bill-${query.get('month')}` },
    )
    return { ...summary, errors: results.filter(({ success }) => !success).map(({ error }) => error) }
  },
}

async function answer(request, response) {
  const { pathname, searchParams } = new URL(request.url, 'http://localhost')
  const route = ROUTES[`${request.method} ${pathname}`]
  if (!route) return response.writeHead(404).end()
  try {
    const result = await route(searchParams)
    if (result === undefined) return response.writeHead(404).end()
    response.end(typeof result === 'string' ? result : JSON.stringify(result))
  } catch (error) {
    // The service refused, or did not answer any of five attempts.
    console.error(error)
    response.writeHead(502).end(error instanceof AraError ? error.code : 'INTERNAL_ERROR')
  }
}

createServer(answer).listen(Number(PORT), '127.0.0.1', () => console.log(`backend: http://localhost:${PORT}`))
