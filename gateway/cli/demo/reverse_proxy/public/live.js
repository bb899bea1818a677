// The front page: buttons that seek in the film, and a table that asks once a second how things come.
"use strict";

const film = document.querySelector("video");
for (const button of document.querySelectorAll("button[data-seconds]")) {
  button.addEventListener("click", () => { film.currentTime = Number(button.dataset.seconds); });
}

// The browser's own cache is left out (no-store); a Cache-Control of ours keeps it from asking the gateway to leave
// out its own as well (Fetch standard, "HTTP-network-or-cache fetch").
const asking = { cache: "no-store", headers: { "Cache-Control": "max-age=31536000", "Pragma": "-" } };

function cell(text, kind = "") {
  const made = document.createElement("td");
  made.textContent = text;
  made.className = kind;
  return made;
}

function kindOf(status) {
  if (!status.includes("; hit")) return "fetched";
  return /; ttl=-|; detail=origin-failed/.test(status) ? "stale" : "fresh";
}

async function refresh(row) {
  const cells = [];
  try {
    const began = performance.now();
    const answer = await fetch(row.dataset.path, asking);
    await answer.arrayBuffer();
    const status = answer.headers.get("cache-status") ?? `status ${answer.status}`;
    cells.push(cell(status, kindOf(status)));
    cells.push(cell(answer.headers.get("content-encoding") ?? "–"));
    cells.push(cell(`${(performance.now() - began).toFixed(0)} ms`));
  } catch {
    const none = cell("no answer: has the demo ended?", "stale");
    none.colSpan = 3;
    cells.push(none);
  }
  row.replaceChildren(row.firstElementChild, ...cells);
}

async function refreshAll() {
  await Promise.all([...document.querySelectorAll("tr[data-path]")].map(refresh));
  setTimeout(refreshAll, 1000);
}

refreshAll();
