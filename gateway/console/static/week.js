// The week drawn: windows, what exceptions close, the line of now. A window picked here is marked in the file beside it.

function renderWeek() {
  const report = S.schedule, first = report.days[0].date, last = report.days[6].date;
  $("#weekname").textContent = `Week ${weekNumber(first)}`;
  $("#weekdates").textContent = `${dayName(first, { day: "numeric", month: "long" })} – ${dayName(last, { day: "numeric", month: "long", year: "numeric" })}, ${report.timezone}`;
  const grid = [];
  for (const day of report.days) grid.push(h("div", { class: "dn " + (day.is_today ? "today" : "") }, dayName(day.date), h("span", {}, dayName(day.date, { day: "numeric", month: "short" }))), drawDay(day));
  const hours = [];
  for (let hour = 0; hour <= 24; hour += 2) hours.push(h("span", { class: hour % 6 ? "o" : "", style: { left: percent(hour / 24) } }, String(hour).padStart(2, "0")));
  grid.push(h("div", { class: "hours", "aria-hidden": "true" }, hours));
  $("#wk").replaceChildren(...grid);
}

function drawDay(day) {
  const begins = instant(day.begins), length = instant(day.ends) - begins;
  const place = (iso) => (Math.max(begins, Math.min(begins + length, typeof iso === "number" ? iso : instant(iso))) - begins) / length;
  const parts = [], said = [], width = Math.max(200, $("#wk").clientWidth - 66);
  for (let hour = 1; hour < 24; hour += 1) parts.push(h("i", { class: "tick", style: { position: "absolute", top: "0", bottom: "0", left: percent(hour / 24), width: "1px", background: "var(--line)" } }));
  const often = new Map();
  for (const block of day.blocks) {
    const brothers = day.blocks.filter((other) => other.window === block.window);
    if (brothers.length > 3 || block.times > 1) often.set(block.window, brothers);
  }
  for (const [name, blocks] of often) {
    const from = place(blocks[0].opens), to = place(blocks.at(-1).closes), times = blocks.reduce((sum, block) => sum + (block.times || 1), 0);
    parts.push(h("button", { type: "button", class: `bandb ${blocks[0].kind} ${blocks[0].is_conditional ? "maybe" : ""} ${picked(name)}`, style: { left: percent(from), width: percent(to - from) }, "aria-pressed": String(S.picked === name), "aria-label": visible(`${name}, ${dayName(day.date, { weekday: "long" })}, ${times} times from ${hm(blocks[0].opens)} to ${hm(blocks.at(-1).closes)}, ${KINDS[blocks[0].kind]}`), title: visible(name), onclick: () => pick(name) }));
    for (const block of blocks) if (!block.times && !block.is_conditional) parts.push(h("i", { class: `tickb ${block.kind} ${instant(block.closes) < now() ? "done" : ""}`, style: { left: percent(place(block.opens)), width: `max(2px, ${percent(place(block.closes) - place(block.opens))})` } }));
  }
  for (const block of day.blocks) {
    if (often.has(block.window)) continue;
    const from = place(block.opens), to = place(block.closes), wide = to - from > 0.055, until = instant(block.opens) < begins;
    const look = { class: `blk ${block.kind} ${wide ? "wide" : ""} ${instant(block.closes) < now() ? "done" : ""} ${block.is_extra ? "extra" : ""} ${picked(block.window)}`, style: { left: percent(from), width: `max(4px, ${percent(to - from)})`, top: "4px", bottom: "4px" }, onclick: () => pick(block.window) };
    const words = `${clock(block.opens)} to ${clock(block.closes)}, ${block.by_hand ? "opened by hand" : KINDS[block.kind]}`;
    said.push(`${block.window} ${words}`);
    // What is too small to be hit by a finger is for the mouse; the list of windows beside has the same for everybody.
    if ((to - from) * width < 24) parts.push(h("i", { ...look, "aria-hidden": "true", title: visible(`${block.window}, ${words}`) }));
    else if (wide) parts.push(h("button", { ...look, type: "button", "aria-pressed": String(S.picked === block.window) }, h("span", {}, block.window, " ", h("em", {}, until ? `until ${hm(block.closes)}` : block.is_extra ? "extra" : "")), h("span", { class: "sr" }, ", " + words)));
    else parts.push(h("button", { ...look, type: "button", "aria-pressed": String(S.picked === block.window), "aria-label": visible(`${block.window}, ${words}`) }));
  }
  for (const closed of day.closed) {
    const from = place(closed.begins), to = place(closed.ends);
    parts.push(h("i", { class: "exc", style: { left: percent(from), width: percent(to - from), top: "4px", bottom: "4px" }, title: visible(`${closed.name}, closed ${clock(closed.begins)} to ${clock(closed.ends)}`) }, to - from > 0.12 && h("span", {}, closed.name)));
    if (to - from <= 0.12) parts.push(h("span", { class: "note deskn", style: from > 0.5 ? { right: `calc(${percent(1 - from)} + 6px)` } : { left: `calc(${percent(to)} + 6px)` } }, closed.name));
  }
  if (day.is_today) parts.push(h("i", { class: "nowl", style: { left: percent(place(now())) } }));
  const names = day.closed.length ? `, closed in part by ${day.closed.map((closed) => closed.name).join(", ")}` : "";
  return h("div", { class: "row", role: "group", "aria-label": visible(dayName(day.date, { weekday: "long", day: "numeric", month: "long" }) + names + (said.length ? ": " + said.join("; ") : "")) }, parts);
}

const picked = (name) => (S.picked === name ? "on" : "");

function weekNumber(date) {
  const day = new Date(date + "T12:00:00Z");
  day.setUTCDate(day.getUTCDate() + 3 - ((day.getUTCDay() + 6) % 7));
  const first = new Date(Date.UTC(day.getUTCFullYear(), 0, 4));
  return 1 + Math.round(((day - first) / 864e5 - 3 + ((first.getUTCDay() + 6) % 7)) / 7);
}

function pick(name) {
  S.picked = S.picked === name ? null : name;
  renderWeek();
  renderWindows();
  renderFile();
  const target = $("#wk .on") || $("#wl .on button");
  if (document.activeElement === document.body && target) target.focus({ preventScroll: true });
}

async function turnWeek(days) {
  const first = new Date(S.schedule.first_day + "T12:00:00Z");
  first.setUTCDate(first.getUTCDate() + days);
  await loadSchedule(days ? first.toISOString().slice(0, 10) : "");
}
