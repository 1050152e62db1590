// The queue: Kerio's seven columns in Kerio's order, chips, filter, sort, selection. Rows are patched where they stand.

const COLUMNS = [["id", "ID"], ["created", "Created"], ["next", "Next try"], ["size", "Size"], ["from", "From"], ["to", "To"], ["status", "Status"]];
const trs = new Map(); // id → {tr, row, json}

function rowState(row) {
  if (row.state === "sending") return ["go", "send"];
  if (row.state === "held") return ["hold", "pause"];
  if (row.status.includes("may have been delivered") || row.status.includes("doubt")) return ["bad", "alert"];
  if (row.next_try.kind === "never" && S.standing.overview.mode.now !== "stopped") return ["bad", "alert"];
  if (row.state === "deferred") return ["defer", "retry"];
  const opening = S.standing.overview.open[0], first = opening ? opening.closes : (whenMailLeaves() || {}).at;
  if (row.next_try.kind === "window" && first && instant(row.next_try.at) > instant(first)) return ["late", "moon"];
  return ["wait", "clock"];
}

function nextTry(row) {
  const next = row.next_try;
  if (row.state === "sending") return [b("now")];
  if (next.kind === "asap") return [b("ASAP")];
  if (next.kind === "released") return [h("b", { class: "kd" }, "–"), h("span", {}, "when released")];
  if (next.kind === "never") return [h("span", {}, "never")];
  return instant(next.at) <= now() ? [b("now"), " ", h("span", {}, next.window || "")] : [b(clock(next.at)), " ", h("span", {}, ahead(next.at))];
}

function fromCell(row) {
  if (!row.from) return [h("span", { class: "dsn" }, "‹ › report")];
  const at = row.from.lastIndexOf("@");
  return at > 0 ? [row.from.slice(0, at), h("span", { class: "own" }, row.from.slice(at))] : [row.from];
}

function statusCell(row) {
  const [state, name] = rowState(row);
  const cut = row.status.indexOf("; ");
  const [head, rest] = state === "defer" && /^[45]\d\d/.test(row.status) ? ["Deferred", row.status] : cut > 0 ? [row.status.slice(0, cut), row.status.slice(cut + 2)] : [row.status, ""];
  const progress = S.progress.get(row.id);
  return h("span", { class: "st " + state }, icon(name), h("span", {}, b(capital(head)),
    progress && [" ", h("span", { class: "prog" }, h("i", { style: { width: progress.percent + "%" } }))], rest && [" ", h("i", {}, rest)]));
}

function makeRow(row) {
  const cell = (name, ...children) => h("td", { class: name }, children);
  const box = h("input", { type: "checkbox", "aria-label": "Select " + row.id });
  const id = h("button", { type: "button", "aria-label": "Details of " + row.id }, row.id);
  const tr = h("tr", { "data-id": row.id }, cell("tc", box), cell("ti id", id), cell("td"), cell("tn nt"), cell("tz num"), cell("tf"), cell("tt"), cell("ts"));
  return { tr, json: "" };
}

function patchRow(entry, row) {
  const json = JSON.stringify([row.status, row.state, row.next_try, row.to, S.progress.get(row.id), today()]);
  entry.row = row;
  if (entry.json === json) {
    fill(entry.tr.children[3], nextTry(row));
    return;
  }
  const isNew = entry.json === "";
  entry.json = json;
  const [, , created, next, octets, from, to, status] = entry.tr.children;
  created.title = row.created.replace("T", " ");
  from.title = visible(row.from);
  to.title = visible(row.to.join(", "));
  status.title = visible(row.status);
  fill(created, clock(row.created));
  fill(next, nextTry(row));
  fill(octets, size(row.size));
  fill(from, fromCell(row));
  fill(to, h("div", { class: "tof" }, h("span", {}, row.to[0] || ""), row.to.length > 1 && h("span", { class: "more" }, `+${row.to.length - 1}`)));
  fill(status, statusCell(row));
  if (!isNew) {
    entry.tr.classList.remove("flash");
    void entry.tr.offsetWidth;
    entry.tr.classList.add("flash");
  }
}

function renderTable() {
  if (!S.page) return;
  renderHead();
  const body = $("#rows"), wanted = new Set(S.page.rows.map((row) => row.id));
  for (const [id, entry] of trs) {
    if (!wanted.has(id)) {
      entry.tr.remove();
      trs.delete(id);
    }
  }
  let before = null;
  for (const row of S.page.rows) {
    if (!trs.has(row.id)) trs.set(row.id, makeRow(row));
    const entry = trs.get(row.id);
    patchRow(entry, row);
    const place = before ? before.nextSibling : body.firstChild;
    if (place !== entry.tr) body.insertBefore(entry.tr, place);
    before = entry.tr;
  }
  if (S.current && !trs.has(S.current)) S.current = null;
  marks();
  renderBar();
  renderChips();
  renderStat();
  renderEmpty();
}

// Selection, cursor and open row, as classes only.
function marks() {
  for (const [id, { tr }] of trs) {
    const chosen = S.selected.has(id);
    tr.classList.toggle("sel", chosen);
    tr.classList.toggle("cur", S.current === id);
    tr.classList.toggle("open", S.open === id);
    tr.querySelector("input").checked = chosen;
  }
  const all = $("#allc");
  if (all) {
    const chosen = S.page.rows.filter((row) => S.selected.has(row.id)).length;
    all.checked = chosen > 0 && chosen === S.page.rows.length;
    all.indeterminate = chosen > 0 && chosen < S.page.rows.length;
  }
  document.body.classList.toggle("sel", S.selected.size > 0);
}

function renderHead() {
  const head = $("#thead");
  if (!head.childElementCount) {
    head.append(h("th", { scope: "col" }, h("input", { type: "checkbox", id: "allc", "aria-label": "Select all shown", onchange: selectShown })));
    for (const [key, name] of COLUMNS) head.append(h("th", { scope: "col", class: key === "size" ? "num" : "", "data-key": key }, h("button", { type: "button", onclick: () => sortBy(key) }, name)));
  }
  for (const th of head.querySelectorAll("th[data-key]")) {
    const mine = th.dataset.key === S.ask.sort, name = COLUMNS.find(([key]) => key === th.dataset.key)[1];
    if (mine) th.setAttribute("aria-sort", S.ask.order === "asc" ? "ascending" : "descending");
    else th.removeAttribute("aria-sort");
    th.firstChild.textContent = name + (mine ? (S.ask.order === "asc" ? " ↑" : " ↓") : "");
  }
}

function sortBy(key) {
  S.ask.order = S.ask.sort === key ? (S.ask.order === "asc" ? "desc" : "asc") : key === "created" || key === "size" ? "desc" : "asc";
  S.ask.sort = key;
  S.ask.offset = 0;
  loadPage();
}

function chip(show, name = "") {
  Object.assign(S.ask, { show, window: name, offset: 0 });
  if (S.view !== "queue") go("queue");
  loadPage();
}

function renderChips() {
  const { queue } = S.standing.overview, list = [["all", "", "All", queue.messages]];
  list.push(["look", "", "Needs a look", queue.look]);
  const windows = new Map();
  for (const group of queue.groups) {
    if (group.next_try.kind !== "window") continue;
    const known = windows.get(group.next_try.window) || { at: group.next_try.at, count: 0 };
    known.count += group.messages;
    windows.set(group.next_try.window, known);
  }
  for (const [name, { at, count }] of [...windows].slice(0, 4)) list.push(["window", name, at && instant(at) > now() ? `${name} ${clock(at)}` : name, count]);
  list.push(["deferred", "", "Deferred", queue.by_state.deferred], ["held", "", "Held", queue.by_state.held], ["sending", "", "Sending", queue.by_state.sending]);
  fill($("#chips"), list.filter(([show, name, , count]) => show === "all" || count > 0 || (show === S.ask.show && name === S.ask.window)).map(([show, name, text, count]) =>
    h("button", { class: "chip", type: "button", "aria-pressed": String(show === S.ask.show && name === S.ask.window), onclick: () => chip(show, name) }, text, " ", b(count))));
}

function renderStat() {
  if (!S.page) return;
  const { queue } = S.standing.overview, page = S.page, narrowed = S.ask.filter || S.ask.show !== "all";
  fill($("#stat"), narrowed ? [b(page.total), ` of ${plural(page.messages, "message")}, `, b(size(page.octets))] : [b(page.total), ` message${page.total === 1 ? "" : "s"}, `, b(size(page.octets)), queue.oldest && page.total > 0 && [". Oldest waits since ", b(clock(queue.oldest))]]);
  const words = new URLSearchParams(Object.entries(S.ask).filter(([name, value]) => value !== "" && name !== "offset"));
  fill($("#takeaway"), h("a", { href: "/print?" + words }, "Print"), " ", h("a", { href: "/api/v1/queue.csv?" + words, download: "queue.csv" }, "CSV"));
  const from = page.offset + 1, to = page.offset + page.rows.length;
  fill($("#pager"), page.total > LIMIT && [
    h("button", { class: "btn sm", type: "button", disabled: page.offset === 0, onclick: () => turn(-LIMIT) }, "Newer"),
    h("span", {}, `${from}–${to} of ${page.total}`),
    h("button", { class: "btn sm", type: "button", disabled: to >= page.total, onclick: () => turn(LIMIT) }, "Older")]);
}

function turn(by) {
  S.ask.offset = Math.max(0, S.ask.offset + by);
  loadPage().then(() => $("#queue").scrollIntoView());
}

function renderEmpty() {
  const page = S.page;
  if (page.rows.length) return fill($("#empty"));
  const narrowed = S.ask.filter || S.ask.show !== "all";
  fill($("#empty"), h("div", { class: "empty" }, icon(narrowed ? "find" : "box"),
    h("h2", {}, narrowed ? "No message matches" : "The queue is empty"),
    narrowed ? h("p", {}, "Nothing here fits. ", h("button", { class: "btn sm", type: "button", onclick: showAll }, `Show all ${page.messages}`))
      : h("p", {}, "All mail has left. Hand in a message over SMTP and it shows up here at once.")));
}

function showAll() {
  S.ask.filter = "";
  if ($("#filter")) $("#filter").value = "";
  chip("all");
}

// -- selection ---------------------------------------------------------------------------------------------------

function choose(id, chosen) {
  const entry = trs.get(id);
  if (chosen && entry) S.selected.set(id, entry.row);
  else S.selected.delete(id);
}

function toggle(id, range) {
  const ids = S.page.rows.map((row) => row.id), chosen = !S.selected.has(id);
  const anchor = range && S.anchor !== null ? ids.indexOf(S.anchor) : -1, end = ids.indexOf(id);
  if (anchor >= 0 && end >= 0) for (const other of ids.slice(Math.min(anchor, end), Math.max(anchor, end) + 1)) choose(other, true);
  else choose(id, chosen);
  S.anchor = id;
  S.current = id;
  marks();
  renderBar();
}

function selectShown() {
  const all = S.page.rows.every((row) => S.selected.has(row.id));
  for (const row of S.page.rows) choose(row.id, !all);
  marks();
  renderBar();
}

function clearSelection() {
  S.selected.clear();
  marks();
  renderBar();
}

function renderBar() {
  const bar = $("#bar"), chosen = [...S.selected.values()];
  if (!bar.childElementCount) {
    const button = (id, name, icon_, kind, work, command) => h("button", { type: "button", class: "btn " + kind, id, title: command, onclick: work }, icon_ && icon(icon_), h("span", {}, name));
    bar.append(
      h("label", { class: "filter" }, icon("find"), h("span", { class: "sr" }, "Filter"), h("input", { id: "filter", type: "search", autocomplete: "off", spellcheck: "false", maxLength: 1000, "aria-describedby": "mistake", placeholder: "Filter: address, from: to: size>1MB older:4h", oninput: typed }), h("kbd", { class: "deskonly" }, "/")),
      h("b", { id: "selcount" }), h("span", { class: "soft", id: "selsize" }), h("span", { class: "grow" }),
      button("sendq", "Send queue", "send", "pri deskonly", sendQueue, "tidegate send"),
      button("try", "Try now", "send", "deskonly", () => tryNow([...S.selected.keys()]), "tidegate try ID…"),
      button("hold", "Hold", "pause", "deskonly", () => holdOrRelease(chosenRows()), "tidegate hold ID…"),
      button("remove", "Remove…", "trash", "danger", () => removeDialog([...S.selected.values()]), "tidegate remove ID…"),
      button("refresh", "Refresh", "retry", "", refresh, "The list follows by itself; R reads it at once"),
      h("button", { type: "button", class: "btn ghost", id: "clear", "aria-label": "Clear selection", onclick: clearSelection }, icon("x")));
  }
  const some = chosen.length > 0;
  bar.classList.toggle("selbar", some);
  for (const [id, hidden] of [["sendq", some], ["refresh", some], ["clear", !some], ["selcount", !some], ["selsize", !some]]) $("#" + id).hidden = hidden;
  bar.querySelector(".filter").hidden = some && matchMedia("(max-width: 760px)").matches;
  $("#selcount").textContent = `${chosen.length} selected`;
  $("#selsize").textContent = size(chosen.reduce((sum, row) => sum + row.size, 0));
  for (const id of ["try", "hold"]) {
    $("#" + id).disabled = !some || !mayChange();
    $("#" + id).classList.toggle("deskonly", !some);
  }
  $("#hold").lastChild.textContent = some && chosen.every((row) => row.state === "held") ? "Release" : "Hold";
  $("#remove").disabled = !mayChange() || !S.page.messages;
  $("#sendq").disabled = $("#fab").disabled = !mayChange() || !S.page.messages;
}

const chosenRows = () => [...S.selected.values()];

let typing;
function typed(event) {
  S.ask.filter = event.target.value.trim();
  S.ask.offset = 0;
  clearTimeout(typing);
  typing = setTimeout(loadPage, 200);
}

async function refresh() {
  await doing(() => Promise.all([loadPage(), loadOverview()]));
  toast("Up to date.");
}
