// What changes, as it changes: rows are patched in place; the page reads anew only when a change cannot be named.

// Milliseconds. A stream that said nothing at all for PATIENCE, or nothing more for SILENCE, does not come through.
const PATIENCE = 8000, SILENCE = 150000, POLL_EVERY = 10000, POLL_SELDOM = 30000, STREAM_AGAIN = 60000;

let stream = null, again = null, lastRead = 0, heard = 0, watching = 0, polling = null, pollAfter = POLL_EVERY, gap = false;

function listen() {
  clearTimeout(watching);
  if (stream) stream.close();
  stream = new EventSource("/api/v1/events");
  const on = (name, work) => stream.addEventListener(name, (event) => {
    heard = performance.now();
    work(JSON.parse(event.data));
  });
  on("hello", () => {
    stopPolling();
    setLive("Live");
    if (gap) readAgain(0);
    gap = false;
  });
  on("overview", (standing) => {
    const before = lastSession();
    takeOverview(standing);
    if (before !== lastSession()) sessionsChanged();
  });
  on("stale", () => readAgain(200));
  on("rows", takeRows);
  on("sending", ({ sending }) => takeProgress(sending));
  on("still", () => {});
  stream.onerror = () => {
    gap = true;
    heard = 0;
    if (!polling) setLive("Reconnecting…", "off");
    if (stream.readyState === EventSource.CLOSED) poll(); // refused, not lost: asking tells why, be it that nobody is signed in
  };
  // Nothing came: somebody between us keeps the stream to himself, or it is dead. The page asks instead, and says so.
  const opened = performance.now();
  const watch = () => {
    const quiet = performance.now() - Math.max(heard, opened);
    if (quiet < (heard > opened ? SILENCE : PATIENCE)) watching = setTimeout(watch, PATIENCE);
    else poll();
  };
  heard = 0;
  watching = setTimeout(watch, PATIENCE + 100);
}

const lastSession = () => (S.standing.overview.sessions.length ? S.standing.overview.sessions.at(-1).started : "");

// One read after the other, none while nobody sees the page; each minute or so the stream is tried again.
function poll() {
  stream.close();
  clearTimeout(watching);
  gap = true;
  if (polling) return;
  let next = performance.now() + STREAM_AGAIN;
  const ask = async () => {
    if (!document.hidden) {
      const before = lastSession();
      try {
        await loadOverview();
        takeProgress(S.standing.overview.sending);
        if (S.view === "queue") await loadPage();
        else S.pageIsOld = true;
        if (before !== lastSession()) sessionsChanged();
        pollAfter = POLL_EVERY;
        if (polling) setLive(`Refreshing every ${POLL_EVERY / 1000} s`, "slow");
      } catch {
        pollAfter = Math.min(pollAfter * 2, POLL_SELDOM);
        next = 0; // whatever was in the way may be gone with it
        if (polling) setLive("Reconnecting…", "off");
      }
    }
    if (!polling) return;
    polling = setTimeout(ask, pollAfter);
    if (performance.now() > next && !document.hidden && pollAfter === POLL_EVERY) {
      next = performance.now() + STREAM_AGAIN;
      listen();
    }
  };
  polling = setTimeout(ask, 0);
}

function stopPolling() {
  clearTimeout(polling);
  polling = null;
  pollAfter = POLL_EVERY;
}

addEventListener("visibilitychange", () => {
  if (polling && !document.hidden) {
    stopPolling();
    poll();
  }
});

function setLive(text, state = "") {
  for (const place of [$("#live"), $("#livetop")]) {
    if (place.textContent === text) continue;
    place.textContent = text;
    place.className = "live " + state;
  }
  $("#livetop").hidden = !state;
}

// A read of the page, soon, and not more than once a second.
function readAgain(wait) {
  if (again !== null) return;
  again = setTimeout(() => {
    again = null;
    lastRead = performance.now();
    if (S.view === "queue") loadPage();
    else S.pageIsOld = true;
  }, Math.max(wait, lastRead + 1000 - performance.now()));
}

function takeRows({ rows, gone }) {
  if (!S.page) return;
  const known = new Map(S.page.rows.map((row, i) => [row.id, i]));
  const plain = !S.ask.filter && S.ask.show === "all" && S.ask.sort === "created" && S.ask.order === "desc" && S.ask.offset === 0;
  let moved = false, mustRead = false;
  for (const row of rows) {
    if (S.selected.has(row.id)) S.selected.set(row.id, row);
    if (known.has(row.id)) {
      S.page.rows[known.get(row.id)] = row;
      if (!plain && S.ask.sort !== "created") mustRead = true;
      if (trs.has(row.id)) patchRow(trs.get(row.id), row);
    } else if (plain && (!S.page.rows.length || row.created >= S.page.rows[0].created)) {
      S.page.rows.unshift(row);
      S.page.total += 1;
      S.page.messages += 1;
      S.page.octets += row.size;
      moved = true;
    } else mustRead = true;
    if (S.open === row.id) refreshDrawer();
    // Only the new one of two twins is named as changed; the other's status has to say so, too.
    const twin = S.page.rows.find((other) => row.status.endsWith("twin of " + other.id));
    if (twin && !twin.status.includes("twin of ")) mustRead = true;
  }
  for (const id of gone) {
    S.selected.delete(id);
    if (S.page.rows.some((other) => other.status.endsWith("twin of " + id))) mustRead = true;
    if (!known.has(id)) {
      mustRead = true;
      continue;
    }
    const row = S.page.rows.find((other) => other.id === id);
    S.page.total -= 1;
    S.page.messages -= 1;
    S.page.octets -= row.size;
    S.page.rows = S.page.rows.filter((other) => other.id !== id);
    S.progress.delete(id);
    moved = true;
    if (S.open === id) left(id);
    if (S.page.total >= LIMIT) mustRead = true;
  }
  if (S.page.rows.length > LIMIT) S.page.rows.length = LIMIT;
  if (moved) renderTable();
  else {
    renderBar();
    marks();
  }
  if (mustRead || S.ask.filter || S.ask.show !== "all") readAgain(100);
}

function left(id) {
  const verdict = $("#drawer .verdict");
  if (verdict) {
    verdict.className = "verdict w";
    fill(verdict, icon("check"), h("span", {}, "It has left the queue."));
  }
  for (const button of $("#drawer").querySelectorAll(".acts button")) button.disabled = true;
}

function takeProgress(sending) {
  const before = [...S.progress.keys()];
  S.progress = new Map(sending.map((row) => [row.id, row]));
  S.progressAt = performance.now();
  for (const id of new Set([...before, ...S.progress.keys()])) {
    const entry = trs.get(id);
    if (entry) patchRow(entry, entry.row);
  }
  renderNow();
}

function renderNow() {
  const rows = [...S.progress.values()], since = (performance.now() - (S.progressAt || 0)) / 1000;
  $("#nowcard").hidden = !rows.length;
  fill($("#nowrows"), rows.slice(0, 64).map((row) => h("tr", {}, h("td", { class: "mono" }, row.id), h("td", { class: "num" }, size(row.size)), h("td", {}, row.from || "‹ ›"), h("td", {}, row.to[0] || "", row.to.length > 1 && ` +${row.to.length - 1}`), h("td", {}, row.phase), h("td", {}, row.relay), h("td", { class: "num" }, span(row.elapsed + since)),
    h("td", {}, h("span", { class: "bigprog", role: "progressbar", "aria-label": "Sent of " + row.id, "aria-valuenow": String(row.percent), "aria-valuemin": "0", "aria-valuemax": "100" }, h("i", { style: { width: row.percent + "%" } })), h("span", { class: "muted" }, `${row.percent} %`)))));
}

function sessionsChanged() {
  if (S.view === "sessions") loadSessions();
  if (S.view === "queue") loadTraffic();
}

async function loadTraffic() {
  const hours = await read("/traffic").catch(() => null);
  if (hours) renderTraffic(hours);
}
