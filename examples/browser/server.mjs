import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import { createServerClient } from 'ara-client/server'

const { ARA_URL = 'http://localhost:8081', JWT_SECRET, PORT = '3000' } = process.env
const ara = createServerClient({ url: ARA_URL, secret: JWT_SECRET })

/** Replace this by the user of your session. */
const signedInUser = () => 'alice'

const ROUTES = {
  '/': async () => {
    const page = await readFile(new URL('index.html', import.meta.url), 'utf8')
    return ['text/html', page.replace('http://localhost:8081', ARA_URL)]
  },
  '/ara-client.js': async () => [
    'text/javascript',
    await readFile(fileURLToPath(import.meta.resolve('ara-client')), 'utf8'),
  ],
  '/token': async () => ['text/plain', await ara.token({ user: signedInUser() })],
}

async function answer(request, response) {
  const route = ROUTES[request.url]
  if (!route) return response.writeHead(404).end()
  try {
    const [type, body] = await route()
    response.writeHead(200, { 'content-type': type, 'cache-control': 'no-store' }).end(body)
  } catch (error) {
    console.error(error)
    response.writeHead(500).end()
  }
}

createServer(answer).listen(Number(PORT), '127.0.0.1', () => console.log(`page: http://localhost:${PORT}`))
