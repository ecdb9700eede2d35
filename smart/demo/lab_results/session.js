// Signing in, through the fhirclient library: authorize, come back, start again.

/* global FHIR */

const SERVER_KEY = "lab-results.server";
const RECORDS = "openid fhirUser patient/Patient.rs patient/Observation.rs patient/Encounter.rs";

/** The FHIR server: of this launch, of an earlier one in this tab, or the one of the page. */
export function fhirServer() {
  const parameters = new URL(location.href).searchParams;
  // Beside `state` it names the authorization server that answers (RFC 9207).
  const asked = parameters.has("state") ? null : parameters.get("iss");
  if (asked) {
    sessionStorage.setItem(SERVER_KEY, asked);
  }
  const known = sessionStorage.getItem(SERVER_KEY) ?? document.body.dataset.fhirServer;
  return new URL(known, location.origin).href;
}

/** Leave for the authorization server: with `launch` in the address an EHR launch. */
export async function authorize() {
  const launch = new URL(location.href).searchParams.get("launch");
  await FHIR.oauth2.authorize({
    clientId: document.body.dataset.clientId,
    iss: fhirServer(),
    redirectUri: new URL("./", location.href).href,
    scope: `${launch ? "launch" : "launch/patient"} ${RECORDS}`,
    pkceMode: "required",
    completeInTarget: true,
  });
}

/** Is there anything to show: an answer in the address, or a token from before a reload? */
export function hasSession() {
  const parameters = new URL(location.href).searchParams;
  return parameters.has("code") || parameters.has("error") || storedToken() !== undefined;
}

/** The library's client, the answer taken out of the address; rejects with what went wrong. */
export async function connect() {
  const client = await FHIR.oauth2.ready();
  history.replaceState({}, "", `./${location.hash}`);
  return client;
}

/** Forget the token and the answer in the address; the library remembers it until a reload. */
export function startAgain() {
  const server = fhirServer();
  sessionStorage.clear();
  sessionStorage.setItem(SERVER_KEY, server);
  location.replace("./");
}

/** Did the person, or a policy, say no? */
export function isRefusal(error) {
  return String(error.message).startsWith("access_denied");
}

/** An error in words for the person at the screen. */
export function explain(error) {
  const text = String(error.message ?? error).split("\n\n")[0];
  if (/failed to fetch|networkerror|load failed/i.test(text)) {
    return `The server ${fhirServer()} cannot be reached, or this app is not set up for it.`;
  }
  return text.replace(/^access_denied:?\s*/, "").replace(/\nURL: \S+/, "");
}

function storedToken() {
  const key = JSON.parse(sessionStorage.getItem("SMART_KEY") ?? "null");
  const state = key && JSON.parse(sessionStorage.getItem(key) ?? "null");
  return state?.tokenResponse?.access_token;
}
