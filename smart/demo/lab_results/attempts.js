// Requests that go beyond what this app was given, sent as they are.

const OTHERS = ["790", "456"];

export const ATTEMPTS = {
  patient: (client) => {
    const other = OTHERS.find((id) => id !== client.patient.id);
    return send(client, "GET", `Patient/${other}`);
  },
  type: (client) => send(client, "GET", `Condition?patient=${client.patient.id}`),
  write: (client) =>
    send(client, "POST", "Observation", {
      resourceType: "Observation",
      status: "final",
      code: { coding: [{ system: "http://loinc.org", code: "2345-7" }], text: "Glucose" },
      subject: { reference: `Patient/${client.patient.id}` },
      valueQuantity: { value: 90, unit: "mg/dL" },
    }),
};

/** The status and the body, whatever they are: the library would turn a refusal into an error. */
async function send(client, method, path, resource) {
  const headers = {
    Accept: "application/fhir+json",
    Authorization: `Bearer ${client.state.tokenResponse.access_token}`,
  };
  if (resource) {
    headers["Content-Type"] = "application/fhir+json";
  }
  const response = await fetch(`${client.state.serverUrl}/${path}`, {
    method,
    headers,
    body: resource && JSON.stringify(resource),
  });
  const body = await response.json().catch(() => null);
  return { request: `${method} ${path}`, status: response.status, body };
}
