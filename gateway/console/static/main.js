// Views, keys and the first drawing.

const TITLES = { queue: "Mail queue", schedule: "Schedule", sessions: "Sessions" };

function go(view, push = true) {
  if (view !== "queue" && typeof loadSchedule !== "function") return location.assign("/" + view);
  S.view = view;
  if (push) address.push(view);
  for (const link of document.querySelectorAll(".tabs [data-view]")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  for (const name of ["queue", "schedule", "sessions"]) $("#v-" + name).hidden = name !== view;
  $("#tlcard").hidden = view === "schedule";
  $("#fab").hidden = view !== "queue";
  document.title = `${TITLES[view]} · ${visible(S.standing.overview.hostname)}`;
  if (view === "queue") {
    if (!S.page || S.pageIsOld) loadPage();
    S.pageIsOld = false;
    loadTraffic();
  }
  if (view === "schedule" && !S.draft) loadSchedule();
  if (view === "sessions") loadSessions();
  scrollTo(0, 0);
}

const address = {
  push: (view) => history.pushState({ view }, "", view === "queue" ? "/" : "/" + view),
};

addEventListener("popstate", () => go(location.pathname.slice(1) || "queue", false));

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-view]");
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    go(link.dataset.view);
    return;
  }
  const tr = event.target.closest("tr[data-id]");
  if (!tr) return;
  if (event.target.closest(".tc")) {
    if (event.target.tagName !== "INPUT") toggle(tr.dataset.id, event.shiftKey);
    return;
  }
  openDrawer(tr.dataset.id);
});

// Boxes tell of a click themselves; the range comes from the key that was held.
$("#rows").addEventListener("click", (event) => {
  if (event.target.tagName === "INPUT") toggle(event.target.closest("tr").dataset.id, event.shiftKey);
});

function step(by) {
  const ids = S.page.rows.map((row) => row.id);
  if (!ids.length) return;
  const at = ids.indexOf(S.current);
  S.current = ids[Math.max(0, Math.min(ids.length - 1, at + by))];
  marks();
  const tr = trs.get(S.current).tr;
  tr.querySelector(".ti button").focus({ preventScroll: true });
  tr.scrollIntoView({ block: "nearest" });
  if (S.open) openDrawer(S.current, false);
}

const aimed = () => (S.selected.size ? [...S.selected.values()] : S.current && trs.has(S.current) ? [trs.get(S.current).row] : []);

const KEYS = {
  j: () => step(1),
  k: () => step(-1),
  ArrowDown: () => step(1),
  ArrowUp: () => step(-1),
  Enter: () => S.current && openDrawer(S.current),
  x: (event) => S.current && toggle(S.current, event.shiftKey),
  t: () => tryNow(aimed().map((row) => row.id)),
  h: () => holdOrRelease(aimed()),
  Delete: () => removeDialog(aimed()),
  s: () => mayChange() && sendQueue(),
  u: () => mayChange() && undo(),
  r: refresh,
  "/": () => $("#filter").focus(),
};

addEventListener("keydown", (event) => {
  const target = event.target, types = /INPUT|TEXTAREA|SELECT/.test(target.tagName) && target.type !== "checkbox";
  if (types) {
    if (event.key === "Escape" && target.id === "filter") target.blur();
    return;
  }
  if ($("#dialog").open || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape") return closeDrawer() || clearSelection();
  if (event.key === "?") return keysDialog();
  if (["1", "2", "3"].includes(event.key)) return go(["queue", "schedule", "sessions"][event.key - 1]);
  if (S.view !== "queue") return;
  const isButton = target.tagName === "BUTTON" || target.tagName === "A" || target.tagName === "SUMMARY";
  if (isButton && (event.key === "Enter" || event.key === " ")) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key, work = KEYS[key];
  if (!work) return;
  event.preventDefault();
  work(event);
});

$("#help").addEventListener("click", keysDialog);
$("#fab").addEventListener("click", sendQueue);
$("#theme").addEventListener("click", () => {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // a browser that keeps nothing forgets the theme, no more
  }
});
const signout = $("#signout-token");
if (signout) signout.value = S.token;

renderStanding();
if (S.page) renderTable();
go(S.view, false);
listen();
setInterval(() => {
  tick();
  if (S.progress.size) renderNow();
}, 1000);
setInterval(() => {
  if (S.view === "queue" && S.page) for (const row of S.page.rows) if (trs.has(row.id)) patchRow(trs.get(row.id), row);
  renderDay();
}, 30000);
