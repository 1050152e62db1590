// What changes something, and the dialogs that show what it costs before it is done.

function dialog(title, body, buttons, done) {
  const place = $("#dialog");
  const form = h("form", { method: "dialog" }, h("div", { class: "dg" }, h("h2", { id: "dialog-title" }, title), body), h("div", { class: "dgf" }, buttons));
  place.replaceChildren(form);
  place.returnValue = "";
  place.onclose = () => {
    const filled = new FormData(form);
    place.replaceChildren();
    if (done) done(place.returnValue, filled);
  };
  place.showModal();
}

const cancel = (text = "Cancel") => h("button", { class: "btn", type: "button", id: "cancel", onclick: () => $("#dialog").close("") }, text);
const confirm_ = (text, kind = "pri", icon_) => h("button", { class: "btn " + kind, value: "ok", id: "confirm" }, icon_ && icon(icon_), text);
const preview = (body) => call("POST", "/preview", body);

function costs(p) {
  const link = S.standing.overview.links.find((l) => l.name === p.link);
  return h("dl", { class: "kv" },
    h("dt", {}, "Will be sent"), h("dd", {}, b(`${plural(p.going, "message")}, ${size(p.going_octets)}`)),
    h("dt", {}, "Takes about"), h("dd", {}, p.seconds === null ? "not known: the line was not measured yet" : span(p.seconds)),
    p.calls && [h("dt", {}, "Calls"), h("dd", {}, b(p.link))],
    h("dt", {}, "Over"), h("dd", {}, p.link ? `${p.link}${p.kind ? ", " + LINKS[p.kind] : ""}` : "no link that is up"),
    p.kind && p.kind !== "permanent" && [h("dt", {}, "Costs"), h("dd", {}, typeof p.money === "number" && [b("about " + p.money.toFixed(2)), ", "], `${size(p.going_octets)} of a ${LINKS[p.kind]} line${link && link.speed ? " at " + rate(link.speed) : ""}`)],
    link && link.tariff && [h("dt", {}, "Tariff"), h("dd", {}, tariff(link.tariff))],
    budgetLeft(p.link).map((text) => [h("dt", {}, "Budget"), h("dd", {}, text)]),
    p.relay && [h("dt", {}, "Through"), h("dd", {}, p.relay)]);
}

const tariff = (t) => [t.per_minute !== null && `${t.per_minute} a minute, in steps of ${span(t.rounding)}`, t.per_mb !== null && `${t.per_mb} a MB`].filter(Boolean).join(", ");

const budgetLeft = (link) => (S.standing.overview.budgets || []).filter((budget) => budget.of === "link" && budget.name === link).map((budget) => `${size(budget.left)} left of ${size(budget.octets)} per ${budget.per}`);

// Does what goes over this line cost money or budget, whatever kind it is?
const priced = (name) => S.standing.overview.links.some((link) => link.name === name && link.tariff) || budgetLeft(name).length > 0;

// A dialled line is called only where nothing can leave without it, and only after the dialog that says so.
async function previewing(body) {
  const plain = await preview(body);
  const dialled = S.standing.overview.links.some((link) => link.kind === "dialled" && !link.up);
  return plain.going || !dialled ? plain : preview({ ...body, now: true });
}

async function sendQueue() {
  const [plain, forced] = (await doing(() => Promise.all([previewing({ action: "send", all: true }), previewing({ action: "send", all: true, force: true })]))) || [];
  if (!plain) return;
  const more = forced.going - plain.going, { overview } = S.standing;
  const outside = overview.mode.now === "offline" && !overview.open.length;
  const text = !forced.going ? `Nothing can leave now: ${forced.why || plain.why || "the queue is empty"}.` : outside ? (forced.calls ? `No window is open and the line is down. This calls ${forced.link}.` : "No window is open. This starts a session by hand, over a link that is up.") : "This starts a session now.";
  const only = !plain.going && forced.going > 0; // nothing goes unless limits are set aside
  const cost = h("div", {}, costs(only ? forced : plain));
  dialog(outside ? "Send now, outside a window?" : "Send the queue now?", [
    h("p", {}, text, only && plain.why && ` By itself nothing would leave: ${plain.why}.`), cost,
    more > 0 && h("label", { class: "opt" }, h("input", { type: "checkbox", name: "force", checked: only, onchange: (event) => cost.replaceChildren(costs(event.target.checked ? forced : plain)) }), b("Also send what limits hold back"), h("span", { class: "muted" }, `${more}, ${size(forced.going_octets - plain.going_octets)}`), h("small", {}, "Class, size, and Next Try do not count, once.")),
    plain.messages > forced.going && forced.why && h("p", {}, `${plural(plain.messages - forced.going, "message")} cannot leave: ${forced.why}.`),
  ], [cancel(outside && whenMailLeaves() ? `Wait for ${clock(whenMailLeaves().at)}` : "Cancel"), forced.going > 0 && confirm_("Send", "pri", "send")], (value, form) => {
    if (value === "ok") doing(async () => toast(capital((await call("POST", "/send", { force: Boolean(form.get("force")), now: forced.calls })).text) + "."));
  });
}

async function tryNow(ids) {
  if (!ids.length || !mayChange()) return;
  const p = await doing(() => previewing({ action: "try", ids }));
  if (!p) return;
  const start = () => doing(async () => {
    toast(capital((await call("POST", "/try", { ids, now: p.calls })).text) + ".");
    clearSelection();
  });
  if (!p.going) return toast(`Nothing can leave now: ${p.why}.`);
  if (p.kind === "permanent" && !priced(p.link) && p.going === p.messages) return start();
  dialog(`Try ${plural(p.messages, "message")} now?`, [h("p", {}, "Windows, class, size and Next Try do not count for it."), costs(p), p.why && h("p", {}, `${plural(p.messages - p.going, "message")} cannot: ${p.why}.`)],
    [cancel(), confirm_("Try now", "pri", "send")], (value) => { if (value === "ok") start(); });
}

function holdOrRelease(rows) {
  if (!rows.length || !mayChange()) return;
  const ids = rows.map((row) => row.id), held = rows.every((row) => row.state === "held");
  const done = async (body) => {
    const changed = await call("POST", held ? "/release" : "/hold", body);
    toast(`${held ? "Released" : "Held"} ${plural(changed.count, "message")}.`);
    clearSelection();
    await loadPage();
    await refreshDrawer();
  };
  if (held) return doing(() => done({ ids }));
  dialog(`Hold ${plural(ids.length, "message")}?`, [h("p", {}, "A held message stays, in every mode, until it is released."), h("label", { class: "note" }, "Why (shown in the queue)", h("input", { name: "note", maxLength: 500, autocomplete: "off" }))],
    [cancel(), confirm_("Hold", "pri", "pause")], (value, form) => { if (value === "ok") doing(() => done(form.get("note") ? { ids, note: form.get("note") } : { ids })); });
}

async function removeDialog(rows) {
  if (!mayChange()) return;
  const { queue } = S.standing.overview, narrowed = S.ask.filter && S.ask.show === "all", octets = rows.reduce((sum, row) => sum + row.size, 0);
  const matching = S.ask.filter ? await doing(() => preview({ action: "remove", match: S.ask.filter })) : null;
  const option = (value, name, count, hint, chosen, off) => h("label", { class: "opt" }, h("input", { type: "radio", name: "which", value, checked: chosen, disabled: off }), b(name), h("span", { class: "muted" }, count), hint && h("small", {}, hint));
  dialog("Remove messages", [
    h("p", {}, "You can take them back for 10 minutes. Only then are they gone, and the senders told."),
    h("div", { role: "radiogroup", "aria-label": "Which" },
      rows.length > 0 && option("selected", rows.length === 1 ? "This message" : `${rows.length} selected messages`, size(octets), null, true),
      option("match", "All that match the filter", matching ? `${matching.messages}, ${size(matching.octets)}` : "no filter", matching ? S.ask.filter : "Type a filter above the table first, for example from:newsletter or older:4h.", !rows.length && narrowed && matching, !matching || !matching.messages),
      option("all", "The whole queue", `${queue.messages}, ${size(queue.octets)}`, null, !rows.length && !(narrowed && matching))),
    h("h3", { class: "dq" }, "Tell the senders?"),
    h("label", { class: "opt" }, h("input", { type: "radio", name: "tell", value: "yes", checked: true }), h("span", {}, "Yes, return it to the sender")),
    h("label", { class: "opt" }, h("input", { type: "radio", name: "tell", value: "no" }), h("span", {}, "No, remove silently")),
  ], [cancel(), confirm_("Remove", "danger pri")], (value, form) => {
    if (value !== "ok") return;
    const which = form.get("which"), body = { tell_senders: form.get("tell") === "yes" };
    if (which === "selected") body.ids = rows.map((row) => row.id);
    else if (which === "match") body.match = S.ask.filter;
    else body.all = true;
    doing(() => removed(body));
  });
}

async function removed(body) {
  const changed = await call("POST", "/remove", body), count = changed.results.removed || 0, delivered = changed.results.delivered || 0;
  clearSelection();
  if (S.open && !(body.ids && !body.ids.includes(S.open))) closeDrawer();
  await loadPage();
  toast(`Removed ${plural(count, "message")}.${delivered ? ` ${plural(delivered, "message")} had been delivered already.` : ""}`, count > 0 && "Undo", undo);
}

function undo() {
  doing(async () => {
    const back = await call("POST", "/undo", {});
    toast(`Brought back ${plural(back.count, "message")}.`);
    await loadPage();
  });
}

async function chooseMode(mode) {
  const before = S.standing.overview.mode.set, { overview } = S.standing;
  if (mode === before) return;
  const set = () => doing(async () => {
    await call("POST", "/mode", { mode });
    await loadOverview();
    toast({ auto: "Auto: the monitor of the line chooses.", online: "Online: mail is sent at once.", offline: "Offline: mail waits for its window.", stopped: "Stopped: mail is accepted, nothing is sent." }[mode], "Undo", () => doing(async () => { await call("POST", "/mode", { mode: before }); await loadOverview(); }));
  });
  const costly = overview.links.some((link) => link.up && (link.kind !== "permanent" || priced(link.name)));
  if (mode === "stopped") return dialog("Stop all sending?", h("p", {}, "Mail is still accepted and kept safe, and waits until another mode is chosen."), [cancel(), confirm_("Stop", "danger pri")], (value) => { if (value === "ok") set(); });
  if (!["online", "auto"].includes(mode) || !costly) return set();
  const p = await doing(() => preview({ action: "send", all: true, force: true }));
  if (p) dialog("Send at once from now on?", [h("p", {}, "Online sends all that waits now, and new mail as it comes, over any link that is up."), costs(p)], [cancel(), confirm_("Go " + mode, "pri")], (value) => { if (value === "ok") set(); });
}

function keysDialog() {
  const keys = [["j k", "Next, previous"], ["Enter", "Open details"], ["x", "Select"], ["Shift x", "Select range"], ["t", "Try now"], ["h", "Hold or release"], ["Del", "Remove"], ["s", "Send queue"], ["u", "Undo the last removal"], ["r", "Refresh"], ["/", "Filter"], ["1 2 3", "Queue, schedule, sessions"], ["Esc", "Close"]];
  dialog("Keyboard", h("div", { class: "keys" }, keys.map(([key, text]) => h("div", {}, h("span", {}, text), h("span", {}, key.split(" ").map((k) => h("kbd", {}, k)))))), [cancel("Close")]);
}

// Every line with what it costs; those that can be called are called and put down here.
function linksDialog() {
  const { links } = S.standing.overview;
  const state = (link) => ({ calling: "being called", "hanging up": "being put down" })[link.call] || (link.up ? "up" : link.kind === "permanent" ? "down" : "down, as planned");
  const facts = (link) => h("dl", { class: "kv" },
    h("dt", {}, "State"), h("dd", {}, b(capital(state(link))), link.why && `: ${link.why}`),
    h("dt", {}, "Line"), h("dd", {}, `${LINKS[link.kind]}, ${link.interface}${link.speed ? ", " + rate(link.speed) : ""}`),
    link.operator && [h("dt", {}, "Modem"), h("dd", {}, [link.operator, link.access, link.signal !== null && link.signal !== undefined && `signal ${link.signal} %`].filter(Boolean).join(", "))],
    link.tariff && [h("dt", {}, "Tariff"), h("dd", {}, tariff(link.tariff))],
    typeof link.octets_month === "number" && [h("dt", {}, "This month"), h("dd", {}, size(link.octets_month) + (typeof link.money_month === "number" ? `, ${link.money_month.toFixed(2)}` : ""))],
    budgetLeft(link.name).map((text) => [h("dt", {}, "Budget"), h("dd", {}, text)]),
    typeof link.calls_left === "number" && [h("dt", {}, "Calls"), h("dd", {}, `${link.calls_left} left today`)]);
  dialog("Links", links.map((link) => h("section", { class: "lk" }, h("h3", {}, link.name), facts(link),
    mayChange() && link.call && (link.call === "raised"
      ? h("button", { class: "btn", type: "button", "data-down": link.name, onclick: () => lineByHand(link.name, "down") }, "Hang up")
      : h("button", { class: "btn", type: "button", "data-up": link.name, disabled: link.call !== "down" || link.up || link.calls_left === 0, onclick: () => callDialog(link) }, "Call…")))),
  [cancel("Close")]);
}

function callDialog(link) {
  dialog(`Call ${link.name}?`, [
    h("p", {}, "It stays up until you hang up, or the gateway ends. Mail that may leave leaves over it."),
    h("dl", { class: "kv" },
      h("dt", {}, "Costs"), h("dd", {}, link.tariff ? b(tariff(link.tariff)) : `the time of a ${LINKS[link.kind]} line; no tariff is set`),
      typeof link.money_month === "number" && [h("dt", {}, "This month"), h("dd", {}, link.money_month.toFixed(2))],
      budgetLeft(link.name).map((text) => [h("dt", {}, "Budget"), h("dd", {}, text)]),
      typeof link.calls_left === "number" && [h("dt", {}, "Calls"), h("dd", {}, `${link.calls_left} left today, this one not counted`)]),
  ], [cancel(), confirm_("Call", "pri", "send")], (value) => { if (value === "ok") lineByHand(link.name, "up"); });
}

function lineByHand(name, way) {
  if ($("#dialog").open) $("#dialog").close("");
  toast(way === "up" ? `Calling ${name}…` : `Hanging up ${name}…`);
  doing(async () => {
    const link = await call("POST", "/links/" + way, { name });
    await loadOverview();
    toast(link.up ? `${name} is up.` : way === "up" ? `${name} is not up: ${link.why}.` : `${name} is down.`);
  });
}
