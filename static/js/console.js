// The verdict on the audit trail, asked again while the page is open and in sight.

const box = document.querySelector("[data-verification]");
if (box) {
  setInterval(refresh, 1000 * Number(box.dataset.seconds));
  document.addEventListener("visibilitychange", refresh);
}

async function refresh() {
  if (document.hidden) {
    return;
  }
  const fresh = await ask().catch(() => null);
  const shown = box.querySelector("[data-verdict]");
  const stale = box.querySelector("[data-stale]");
  if (!fresh) {
    // A verdict that cannot be confirmed is not left standing, except that it is broken.
    stale.hidden = shown.dataset.verdict === "broken";
    shown.hidden = !stale.hidden;
    return;
  }
  stale.hidden = true;
  shown.replaceWith(fresh);
  if (fresh.dataset.verdict !== shown.dataset.verdict) {
    box.querySelector("[data-announce]").textContent = fresh.textContent;
  }
}

async function ask() {
  const response = await fetch(box.dataset.verification, { redirect: "error", cache: "no-store" });
  if (!response.ok) {
    return null;
  }
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  return page.querySelector("[data-verdict]");
}
