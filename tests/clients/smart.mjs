// npm fhirclient as a Node server: a launch page and its redirect URI on one port. Prints the port,
// then serves; the answer to the redirect is what the app read.
import { createServer } from 'node:http'
import { createRequire } from 'node:module'

const smart = createRequire(import.meta.url)('fhirclient')
const { clientId, secret, scope } = JSON.parse(process.argv[2])

class Storage {
  data = {}
  async get(key) { return this.data[key] }
  async set(key, value) { this.data[key] = value; return value }
  async unset(key) { return delete this.data[key] }
}
const storage = new Storage()

const server = createServer(async (request, response) => {
  request.protocol = 'http'
  const app = smart(request, response, storage)
  try {
    if (request.url.startsWith('/launch')) {
      await app.authorize({ clientId, clientSecret: secret, scope, redirectUri: '/app',
        pkceMode: 'required' })
      return
    }
    const ready = await app.ready()
    const patient = await ready.patient.read()
    const observations = await ready.request(
      `Observation?patient=${ready.patient.id}&_count=7`, { pageLimit: 3, flat: true })
    const before = ready.state.tokenResponse.access_token
    await ready.refresh()
    const again = await ready.patient.read()
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify({
      patient: patient.id, again: again.id, user: ready.user.fhirUser, encounter: ready.encounter.id,
      isRefreshed: before !== ready.state.tokenResponse.access_token,
      observations: observations.map((one) => one.id), scope: ready.state.tokenResponse.scope,
    }))
  } catch (error) {
    response.statusCode = 500
    response.end(JSON.stringify({ error: String(error), stack: error.stack }))
  }
})
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })))
