// The demo's start page: fresh one-time codes without a reload, and buttons that copy.

const RETRY_SECONDS = 5;
let ends = Date.now() + 1000 * Number(document.querySelector("[data-seconds]").textContent);

setInterval(tick, 1000);
for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", () => copy(button));
}

async function tick() {
  const left = Math.ceil((ends - Date.now()) / 1000);
  document.querySelector("[data-seconds]").textContent = String(Math.max(left, 0));
  if (left > 0) {
    return;
  }
  ends = Date.now() + 1000 * RETRY_SECONDS;
  const response = await fetch("/demo/codes").catch(() => null);
  if (response?.ok) {
    show(await response.json());
  }
}

function show({ codes, seconds }) {
  ends = Date.now() + 1000 * seconds;
  for (const element of document.querySelectorAll("[data-code]")) {
    element.textContent = codes[element.dataset.code];
  }
}

async function copy(button) {
  const label = button.innerHTML;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  button.textContent = "Copied";
  setTimeout(() => {
    button.innerHTML = label;
  }, 1500);
}
