// The page of the app: sign-in, the record, and what the hospital refuses.

import { ATTEMPTS } from "./attempts.js";
import { formatBirthDate, formatDate, formatRange, formatValue, judge, load } from "./observations.js";
import { plot, trend } from "./plot.js";
import { authorize, connect, explain, hasSession, isRefusal, startAgain } from "./session.js";

const CATEGORIES = [
  ["laboratory", "Laboratory results"],
  ["vital-signs", "Vital signs"],
];
const COLUMNS = [
  ["Test", ""],
  ["Latest value", ""],
  ["Normal range", "detail"],
  ["Date", "detail"],
  ["Trend", ""],
];
let draw = () => {};
const byId = (id) => document.getElementById(id);

byId("sign-in").addEventListener("click", signIn);
byId("again").addEventListener("click", startAgain);
new ResizeObserver(() => draw()).observe(byId("plot"));
await start();

async function start() {
  if (!hasSession()) {
    show("start");
    return;
  }
  try {
    await showRecord(await connect());
  } catch (error) {
    showProblem(error);
  }
}

async function signIn() {
  try {
    await authorize();
  } catch (error) {
    showProblem(error);
  }
}

function show(part) {
  for (const id of ["status", "start", "problem", "record"]) {
    byId(id).hidden = id !== part;
  }
}

function showProblem(error) {
  const refused = isRefusal(error);
  byId("problem-title").textContent = refused ? "Access was refused" : "Something went wrong";
  byId("problem-alert").className = refused ? "alert warning" : "alert danger";
  byId("problem-text").textContent = refused
    ? `The app has seen nothing. The hospital's answer: “${explain(error)}”`
    : explain(error);
  show("problem");
}

async function showRecord(client) {
  const [user, patient, visit, ...lists] = await Promise.all([
    client.user.fhirUser ? unlessRefused(client.user.read()) : null,
    unlessRefused(client.patient.read()),
    client.encounter.id ? unlessRefused(client.encounter.read()) : null,
    ...CATEGORIES.map(([category]) => unlessRefused(load(client, category))),
  ]);
  byId("user").textContent = user ? nameOf(user) : "";
  byId("signed-in").hidden = !user;
  showPatient(patient, client.getState("tokenResponse.need_patient_banner") !== false);
  showVisit(visit);
  const tables = CATEGORIES.map(([, title], index) => table(title, lists[index]));
  byId("tables").replaceChildren(...tables);
  const tests = lists.filter(Boolean).flat();
  if (tests.length > 0) {
    followSelection(tests);
  }
  byId("detail").hidden = tests.length === 0;
  document.querySelectorAll("[data-attempt]").forEach((button) => {
    button.addEventListener("click", () => attempt(client, button));
  });
  show("record");
}

/** What was asked for; null where the person did not allow it, or has taken it back. */
async function unlessRefused(reading) {
  try {
    return await reading;
  } catch (error) {
    if (error.statusCode === 403) return null;
    throw error;
  }
}

function showPatient(patient, needed) {
  byId("patient").hidden = !needed;
  if (!patient) {
    byId("patient-name").textContent = "Name not shared with this app";
    return;
  }
  const number = patient.identifier?.find((one) => one.type?.coding?.[0]?.code === "MR");
  byId("patient-name").textContent = nameOf(patient);
  byId("patient-facts").replaceChildren(
    fact("Born", patient.birthDate && formatBirthDate(patient.birthDate)),
    fact("Sex", patient.gender),
    fact("MRN", number?.value),
  );
}

function showVisit(visit) {
  if (visit) {
    const began = formatDate(new Date(visit.period.start));
    byId("visit").textContent = `Opened from the visit of ${began}: ${visit.type?.[0]?.text ?? "visit"}`;
    byId("visit").hidden = false;
  }
}

function table(title, tests) {
  const card = make("section", { className: "card flush" });
  const head = make("div", { className: "card-head" });
  head.append(make("h2", { textContent: title }));
  if (!tests?.length) {
    const textContent = tests ? "Nothing is recorded here." : "Not shared with this app.";
    card.append(head, make("p", { className: "empty", textContent }));
    return card;
  }
  const body = make("tbody");
  body.append(...tests.map(row));
  const grid = make("table", { className: "table results" });
  const names = make("tr");
  for (const [text, className] of COLUMNS) {
    names.append(make("th", { scope: "col", textContent: text, className }));
  }
  const thead = make("thead");
  thead.append(names);
  grid.append(make("caption", { className: "visually-hidden", textContent: title }), thead, body);
  const wrap = make("div", { className: "table-wrap" });
  wrap.append(grid);
  card.append(head, wrap);
  return card;
}

function row(test) {
  const line = make("tr");
  line.dataset.code = test.code;
  const name = make("th", { scope: "row" });
  name.append(make("a", { href: `#test-${test.code}`, textContent: test.name }));
  line.append(
    name,
    valueCell(test.latest),
    make("td", { className: "detail", textContent: formatRange(test.range) || "–" }),
    make("td", { className: "detail nowrap", textContent: formatDate(test.latest.at) }),
    trendCell(test),
  );
  return line;
}

function followSelection(tests) {
  const select = () => {
    const wanted = tests.find((test) => location.hash === `#test-${test.code}`);
    showTest(wanted ?? tests.find((test) => judge(test.latest)) ?? tests[0]);
    if (wanted) {
      byId("detail-title").focus({ preventScroll: true });
      byId("detail").scrollIntoView({ block: "nearest" });
    }
  };
  window.addEventListener("hashchange", select);
  select();
}

function showTest(test) {
  byId("detail-title").textContent = test.unit ? `${test.name} (${test.unit})` : test.name;
  byId("detail-range").textContent = test.range ? `Normal range ${formatRange(test.range)}, shaded` : "";
  draw = () => byId("plot").replaceChildren(plot(test, Math.max(byId("plot").clientWidth, 240)));
  draw();
  const names = test.latest.readings.length > 1 ? test.latest.readings : [];
  byId("legend").hidden = names.length === 0;
  byId("legend").replaceChildren(...names.map(legendEntry));
  byId("values").replaceChildren(...[...test.values].reverse().map(valueRow));
  document.querySelectorAll("tr[data-code]").forEach((line) => {
    line.toggleAttribute("aria-current", line.dataset.code === test.code);
  });
}

function legendEntry(reading, index) {
  const entry = make("li");
  const key = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  key.setAttribute("class", `key series-${index + 1}`);
  key.setAttribute("viewBox", "0 0 28 12");
  key.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("class", "line");
  line.setAttribute("d", "M1 6h26");
  key.append(line);
  entry.append(key, reading.name);
  return entry;
}

function valueRow(value) {
  const line = make("tr");
  line.append(
    make("th", { scope: "row", className: "nowrap", textContent: formatDate(value.at) }),
    valueCell(value),
  );
  return line;
}

/** The value, and a badge where it is out of its range. */
function valueCell(value) {
  const cell = make("td");
  const said = judge(value);
  cell.append(formatValue(value));
  if (said) {
    cell.append(" ", make("span", { className: "badge warning", textContent: said }));
  }
  return cell;
}

function trendCell(test) {
  const cell = make("td", { className: "trend-cell" });
  cell.append(trend(test));
  return cell;
}

/** Ask for what the app was not given and show the answer as it came. */
async function attempt(client, button) {
  // Not disabled, which would take the keyboard focus away.
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  try {
    const answer = await ATTEMPTS[button.dataset.attempt](client);
    byId("answers").prepend(answerBox(button.textContent, answer));
  } catch (error) {
    byId("answers").prepend(make("p", { className: "alert danger", textContent: explain(error) }));
  } finally {
    button.removeAttribute("aria-busy");
  }
}

function answerBox(title, { request, status, body }) {
  const refused = status >= 400;
  const issue = body?.issue?.[0];
  const box = make("div", { className: `alert answer ${refused ? "danger" : "warning"}` });
  const raw = make("details");
  raw.append(
    make("summary", { textContent: "The whole answer" }),
    make("pre", { tabIndex: 0, textContent: JSON.stringify(body, null, 2) }),
  );
  box.append(
    make("p", { className: "alert-title", textContent: `${title}: ${refused ? "refused" : "allowed"} (${status})` }),
    make("p", { className: "small mono", textContent: request }),
    make("p", { textContent: issue?.diagnostics ?? issue?.details?.text ?? "No explanation was given." }),
    raw,
  );
  return box;
}

function nameOf(person) {
  const name = person.name?.[0];
  return name?.text ?? [...(name?.given ?? []), name?.family].filter(Boolean).join(" ");
}

function fact(label, value) {
  const pair = make("div");
  pair.append(make("dt", { textContent: label }), make("dd", { textContent: value ?? "unknown" }));
  return pair;
}

function make(name, properties = {}) {
  return Object.assign(document.createElement(name), properties);
}
