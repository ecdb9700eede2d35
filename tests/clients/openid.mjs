// npm openid-client, a confidential app: one line with the authorization URL, one line back with
// the URL that the browser came to, then what every endpoint said.
import * as client from 'openid-client'
import { createInterface } from 'node:readline/promises'

const { issuer, clientId, secret, redirectUri, scope, base } = JSON.parse(process.argv[2])
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const say = (value) => console.log(JSON.stringify(value))
const told = async (work) => {
  try {
    return { ok: await work() }
  } catch (error) {
    return { error: error.error ?? error.message }
  }
}

const config = await client.discovery(
  new URL(issuer), clientId, undefined, client.ClientSecretBasic(secret),
  { execute: [client.allowInsecureRequests] },
)
const verifier = client.randomPKCECodeVerifier()
const state = client.randomState()
const nonce = client.randomNonce()
const url = client.buildAuthorizationUrl(config, {
  redirect_uri: redirectUri, scope, state, nonce, resource: base,
  code_challenge: await client.calculatePKCECodeChallenge(verifier),
  code_challenge_method: 'S256', max_age: '3600',
})
say({ url: url.href })

const back = new URL((await lines.next()).value)
const tokens = await client.authorizationCodeGrant(config, back, {
  pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce, maxAge: 3600,
  idTokenExpected: true,
})
const claims = tokens.claims()
const userInfo = await client.fetchUserInfo(config, tokens.access_token, claims.sub)
const patient = await client.fetchProtectedResource(
  config, tokens.access_token, new URL(`${base}/Patient/${tokens.patient}`), 'GET',
)
const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token)
const active = await client.tokenIntrospection(config, refreshed.access_token)
await client.tokenRevocation(config, refreshed.refresh_token)
const after = await client.tokenIntrospection(config, refreshed.access_token)
const again = await told(() => client.refreshTokenGrant(config, refreshed.refresh_token))
const gone = await fetch(`${base}/Patient/${tokens.patient}`, {
  headers: { authorization: `Bearer ${refreshed.access_token}` },
})
const out = client.buildEndSessionUrl(config, {
  id_token_hint: tokens.id_token, post_logout_redirect_uri: redirectUri, state: 'bye',
})
say({
  claims, userInfo, active, after, again, scope: tokens.scope, patient: (await patient.json()).id,
  isRotated: refreshed.refresh_token !== tokens.refresh_token, gone: gone.status, out: out.href,
})
process.exit(0)
