// FHIR Observations as lines of numbers: one line a test, newest value last.

/** Observations of a category, all pages. */
export async function load(client, category) {
  const query = new URLSearchParams({
    patient: client.patient.id,
    category,
    _count: "200",
  });
  const found = await client.request(`Observation?${query}`, { flat: true, pageLimit: 0 });
  return group(found.filter((resource) => resource.resourceType === "Observation"));
}

/** Tests by name; each has `code`, `name`, `unit`, `range` and `values`. */
function group(observations) {
  const tests = new Map();
  for (const observation of observations) {
    const code = observation.code?.coding?.[0]?.code ?? observation.code?.text;
    const at = new Date(observation.effectiveDateTime ?? observation.issued ?? NaN);
    const readings = readingsOf(observation);
    if (!code || Number.isNaN(at.getTime()) || readings.length === 0) {
      continue;
    }
    if (!tests.has(code)) {
      tests.set(code, { code, name: nameOf(observation.code), values: [] });
    }
    tests.get(code).values.push({
      at,
      readings,
      range: rangeOf(observation),
      flag: observation.interpretation?.[0]?.coding?.[0]?.code ?? "",
    });
  }
  return [...tests.values()].map(finish);
}

function finish(test) {
  test.values.sort((left, right) => left.at - right.at);
  test.latest = test.values.at(-1);
  test.unit = test.latest.readings[0].unit;
  test.range = test.latest.range;
  return test;
}

/** One number, or one a component, as in a blood pressure. */
function readingsOf(observation) {
  const parts = observation.valueQuantity ? [observation] : (observation.component ?? []);
  return parts
    .filter((part) => typeof part.valueQuantity?.value === "number")
    .map((part) => ({
      name: nameOf(part.code),
      value: part.valueQuantity.value,
      unit: part.valueQuantity.unit ?? "",
    }));
}

function rangeOf(observation) {
  const range = observation.referenceRange?.[0];
  const low = range?.low?.value;
  const high = range?.high?.value;
  return low === undefined && high === undefined ? null : { low, high };
}

function nameOf(concept) {
  return concept?.text ?? concept?.coding?.[0]?.display ?? concept?.coding?.[0]?.code ?? "Test";
}

/** "134 / 82 mmHg" */
export function formatValue(value) {
  const numbers = value.readings.map((reading) => reading.value).join(" / ");
  return `${numbers} ${value.readings[0].unit}`.trim();
}

/** "70 to 99", "up to 199", "60 or more" or "" */
export function formatRange(range) {
  if (!range) {
    return "";
  }
  if (range.low === undefined) {
    return `up to ${range.high}`;
  }
  return range.high === undefined ? `${range.low} or more` : `${range.low} to ${range.high}`;
}

/** What the laboratory says of a value, else what its range says: "high", "low" or "". */
export function judge(value) {
  const said = { H: "high", HH: "high", HU: "high", L: "low", LL: "low", LU: "low" }[value.flag];
  if (said || value.flag || !value.range || value.readings.length > 1) {
    return said ?? "";
  }
  const number = value.readings[0].value;
  if (number > (value.range.high ?? Infinity)) {
    return "high";
  }
  return number < (value.range.low ?? -Infinity) ? "low" : "";
}

/** A FHIR date as people write it: "14 Mar 1958", "Mar 1958" or "1958", as far as it is known. */
export function formatBirthDate(date) {
  const parts = { day: "numeric", month: "short", year: "numeric" };
  const known = ["year", "month", "day"].slice(0, date.split("-").length);
  const style = Object.fromEntries(known.map((part) => [part, parts[part]]));
  return new Date(date).toLocaleDateString("en-GB", { ...style, timeZone: "UTC" });
}

/** "31 Oct 2026" */
export function formatDate(date) {
  return date.toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
}
