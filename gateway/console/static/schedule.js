// The schedule: the week, the openings ahead, the windows in words, and the file, which is checked as it is typed.

async function loadSchedule(week = "") {
  const report = await doing(() => read("/schedule" + (week ? "?week=" + week : "")));
  if (!report) return;
  S.schedule = report;
  if (!$("#wk")) frameSchedule();
  renderWeek();
  renderAhead();
  renderWindows();
  if (!S.draft) renderFile();
}

function frameSchedule() {
  const turn_ = (days, text, label) => h("button", { type: "button", class: "btn sm", "aria-label": label, onclick: () => turnWeek(days) }, text);
  $("#v-schedule").replaceChildren(
    h("section", { class: "card", "aria-labelledby": "weekname" }, h("header", {}, h("h2", { id: "weekname" }), h("span", { class: "muted", id: "weekdates" }), h("div", { class: "grow" }), h("span", { class: "weekbar" }, turn_(-7, "‹", "The week before"), turn_(0, "This week", "This week"), turn_(7, "›", "The next week"))),
      h("div", { class: "week" }, h("div", { class: "wk", id: "wk" }),
        h("div", { class: "legend wl-legend", "aria-hidden": "true" }, [["sw all", "all mail"], ["sw limited", "limited by class or size"], ["sw urgent", "urgent only"], ["dots", "only if something waits"], ["sw exception", "closed by an exception"]].map(([kind, text]) => h("span", {}, h("i", { class: kind }), text))))),
    h("div", { class: "sch" },
      h("section", { class: "card", "aria-labelledby": "aheadh" }, h("header", {}, h("h2", { id: "aheadh" }, "Next openings"), h("div", { class: "grow" }), mayChange() && h("button", { type: "button", class: "btn sm", title: "tidegate schedule open 15min", onclick: openNow }, "Open now…"), mayChange() && h("button", { type: "button", class: "btn sm", title: "tidegate schedule skip", onclick: skipNext }, "Skip next…")), h("ul", { class: "ol", id: "ol" })),
      h("section", { class: "card", "aria-labelledby": "windowsh" }, h("header", {}, h("h2", { id: "windowsh" }, "Windows")), h("ul", { class: "wl", id: "wl" })),
      h("section", { class: "card", "aria-labelledby": "fileh", id: "filecard" })));
}

function renderAhead() {
  const rows = [];
  const all = S.schedule.ahead, isCut = all.length >= 240, end = all.length ? dayOf(all.at(-1).opens) : "";
  for (const row of all) {
    if (isCut && rows.length && dayOf(row.opens) === end) break; // of this day not all are known
    // Those of one window and day in which nothing leaves are one line; the first opening of all stands for itself.
    const last = rows.findLast((other, i) => i && other.window === row.window && !other.messages && dayOf(other.opens) === dayOf(row.opens));
    if (last && !row.messages) [last.more, last.until] = [last.more + 1, row.closes];
    else if (rows.length < 12) rows.push({ ...row, more: 0, until: row.closes });
    else break;
  }
  const until = (row) => (dayOf(row.until) === dayOf(row.opens) ? hm(row.until) : clock(row.until));
  fill($("#ol"), rows.length ? rows.map((row, i) => h("li", { class: i ? "" : "first" }, b(clock(row.opens)), h("span", {}, row.window, h("span", { class: "muted" }, (row.more ? `, ${row.more} more` : "") + ` until ${until(row)}`)), h("em", {}, row.messages ? `${plural(row.messages, "message")}, ${size(row.octets)}` : "nothing yet"))) : h("li", {}, h("span", { class: "muted" }, "No opening ahead.")));
}

function renderWindows() {
  const rows = S.schedule.windows;
  $("#wl").replaceChildren(...(rows.length ? rows.map((row) => h("li", { class: S.picked === row.name ? "on" : "" }, h("button", { type: "button", "aria-pressed": String(S.picked === row.name), onclick: () => pick(row.name) }, h("i", { class: "sw " + row.kind }), b(row.name), h("span", { class: "muted" }, row.enabled ? `line ${row.line}` : "off"), h("span", { class: "r" }, row.words)))) : [h("li", {}, h("span", { class: "muted pad" }, "The schedule has no windows."))]));
}

function renderFile() {
  const report = S.schedule, card = $("#filecard");
  S.draft = null;
  if (report.text === null) return card.replaceChildren(h("header", {}, h("h2", { id: "fileh" }, "No schedule file")), h("p", { class: "pad soft" }, "gateway.yaml names none: add `schedule: schedule.yaml` to it."));
  const mark = report.windows.find((row) => row.name === S.picked);
  const lines = report.text.replace(/\n$/, "").split("\n").map((line, i) => h("div", { "data-n": String(i + 1), class: mark && i + 1 >= mark.line && i + 1 <= mark.end_line ? "hl" : "" }, h("span", {}, coloured(line))));
  const pre = h("pre", { class: "yaml", tabindex: "0", "aria-label": "Schedule file", id: "yaml" }, lines);
  card.replaceChildren(h("header", {}, h("h2", { class: "mono", id: "fileh" }, report.file), h("span", { class: "st ok" }, icon("check"), h("span", {}, b("in force"))), h("div", { class: "grow" }), mayChange() && h("button", { type: "button", class: "btn sm", id: "edit", onclick: editFile }, "Edit")), pre);
  const line = pre.querySelector(".hl");
  if (line) pre.scrollTop = Math.max(0, line.offsetTop - pre.offsetTop - 70);
}

function coloured(line) {
  const parts = /^(\s*(?:- )?)([a-z_]+)(:)([^#]*)(#.*)?$/.exec(line);
  if (parts) return [parts[1], h("span", { class: "k" }, parts[2]), parts[3] + parts[4], parts[5] && h("span", { class: "c" }, parts[5])];
  return /^\s*#/.test(line) ? h("span", { class: "c" }, line) : line || " ";
}

// -- editing -----------------------------------------------------------------------------------------------------

function editFile() {
  const report = S.schedule;
  S.draft = { version: report.version, valid: true };
  const area = h("textarea", { id: "yamltext", spellcheck: "false", autocapitalize: "off", autocomplete: "off", wrap: "off", "aria-label": "Text of " + report.file, "aria-describedby": "problems", oninput: typedYaml });
  area.value = report.text;
  $("#filecard").replaceChildren(
    h("header", {}, h("h2", { class: "mono", id: "fileh" }, report.file), h("span", { id: "validity", class: "st", "aria-live": "polite" })),
    h("div", { class: "edit" }, area), h("div", { class: "problems", id: "problems" }),
    h("pre", { class: "echo", id: "echo", tabindex: "0", "aria-label": "What was understood", hidden: true }),
    h("div", { class: "editbar" }, h("button", { type: "button", class: "btn pri", id: "apply", onclick: applyFile }, "Apply"), h("button", { type: "button", class: "btn", id: "discard", onclick: renderFile }, "Discard"), h("span", { class: "muted" }, "Checked as you type. A file with a mistake never replaces the running one.")));
  area.focus();
  checkYaml();
}

let yamlTimer, checkNumber = 0;
function typedYaml() {
  clearTimeout(yamlTimer);
  yamlTimer = setTimeout(checkYaml, 300);
}

async function checkYaml() {
  const number = ++checkNumber, area = $("#yamltext");
  if (!area) return;
  const report = await doing(() => call("POST", "/schedule/check", { text: area.value }));
  if (!report || number !== checkNumber || !S.draft || !$("#yamltext")) return;
  S.draft.valid = report.is_valid;
  const errors = report.problems.filter((problem) => problem.severity === "error").length, warnings = report.problems.length - errors;
  const place = $("#validity");
  place.className = "st " + (errors ? "bad" : warnings ? "defer" : "ok");
  fill(place, icon(errors ? "alert" : "check"), h("span", {}, b(errors ? plural(errors, "mistake") : warnings ? `valid, ${plural(warnings, "warning")}` : "valid")));
  $("#apply").disabled = !report.is_valid;
  $("#problems").replaceChildren(...report.problems.map((problem) => h("div", { class: problem.severity }, h("button", { type: "button", onclick: () => goToLine(problem.line, problem.column) }, `${problem.line}:${problem.column}: ${problem.severity}: ${problem.what}`), problem.hint && h("small", {}, problem.hint))));
  $("#echo").hidden = !report.echo;
  $("#echo").textContent = (report.echo || "").split("\n").map(visible).join("\n");
}

function goToLine(line, column) {
  const area = $("#yamltext"), lines = area.value.split("\n");
  const at = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0) + column - 1;
  area.focus();
  area.setSelectionRange(at, at + 1);
  area.scrollTop = Math.max(0, (line - 5) * 19);
}

async function applyFile() {
  const text = $("#yamltext").value;
  try {
    const written = await call("PUT", "/schedule", { text, version: S.draft.version });
    S.draft = null;
    await loadSchedule(S.schedule.first_day);
    await loadOverview();
    toast(capital(written.text) + ".");
  } catch (error) {
    if (error.status !== 409) return toast(error.message);
    const theirs = await doing(() => read("/schedule"));
    if (!theirs) return;
    dialog("Somebody else changed the file", [h("p", {}, error.message), h("p", {}, "Your text stays in the editor. Look at theirs below; applying again replaces it."), h("pre", { class: "echo", tabindex: "0" }, theirs.text)], [cancel("Keep editing mine"), confirm_("Take theirs", "pri")], (value) => {
      S.draft.version = theirs.version;
      if (value !== "ok") return;
      S.schedule = theirs;
      renderWeek();
      renderFile();
    });
  }
}

async function openNow() {
  const p = S.standing.overview.queue.messages ? await doing(() => preview({ action: "send", all: true, force: true })) : null;
  dialog("Open now?", [h("p", {}, "An opening by hand admits everything, whatever the schedule says, and sends over a link that is up."), p && costs(p), h("label", { class: "note" }, "For how many minutes", h("input", { name: "minutes", type: "number", min: "1", max: "1440", value: "15", required: true }))],
    [cancel(), confirm_("Open", "pri")], (value, form) => {
      if (value === "ok") doing(async () => { const opening = await call("POST", "/schedule/open", { seconds: Number(form.get("minutes")) * 60 }); toast(`Open until ${clock(opening.closes)}.`); await loadSchedule(); await loadOverview(); });
    });
}

function skipNext() {
  const next = S.schedule.ahead[0];
  dialog("Skip an opening?", h("p", {}, next ? `${next.window}, ${clock(next.opens)} to ${clock(next.closes)}, does not take place.` : "There is no opening ahead."), [cancel(), next && confirm_("Skip", "danger pri")], (value) => {
    if (value === "ok") doing(async () => { const opening = await call("POST", "/schedule/skip", {}); toast(`Skipped: ${opening.window}, ${clock(opening.opens)}.`); await loadSchedule(); await loadOverview(); });
  });
}

// -- sessions ----------------------------------------------------------------------------------------------------

async function loadSessions() {
  const rows = await doing(() => read("/sessions"));
  if (!rows) return;
  const head = ["Time", "Link, relay", "Window", "Result", "Sent", "On the wire", "Online", "Money"];
  $("#v-sessions").replaceChildren(h("section", { class: "card", "aria-labelledby": "sessh" }, h("header", {}, h("h2", { id: "sessh" }, "Sessions"), h("span", { class: "muted" }, "one line for each time the link was used")),
    h("table", { class: "s" }, h("thead", {}, h("tr", {}, head.map((name, i) => h("th", { scope: "col", class: i > 3 ? "num" : "" }, name)))),
      h("tbody", {}, rows.map((session) => h("tr", {}, h("td", {}, b(clock(session.started))), h("td", {}, `${session.link}, ${session.relay}`), h("td", { class: session.window ? "" : "none" }, session.window || "–"), h("td", {}, session.ended ? sessionLine(session) : h("span", { class: "st go" }, icon("send"), h("span", {}, b("in progress")))),
        h("td", { class: "num", "data-l": "sent" }, plural(session.sent, "message")), h("td", { class: "num", "data-l": "on the wire" }, session.ended ? `${size(session.octets_out)} out, ${size(session.octets_in)} in` : "–"), h("td", { class: "num", "data-l": "online" }, span(wireSeconds(session))), h("td", { class: "num", "data-l": "money" }, typeof session.money === "number" ? session.money.toFixed(2) : "no tariff"))))),
    !rows.length && h("div", { class: "empty" }, icon("box"), h("h2", {}, "No session yet"), h("p", {}, "Each use of the line will stand here."))));
}

function sessionLine(session) {
  const [state, name] = { ok: ["ok", "check"], part: ["defer", "retry"], fail: ["bad", "alert"] }[ENDS[session.end] || "ok"];
  return h("span", { class: "st " + state }, icon(name), h("span", {}, b(session.why)));
}
