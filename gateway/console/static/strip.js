// Above the table: the state in one sentence, mode, link, relay, traffic, countdown; the next 24 hours; forecast; sessions.

const MODES = [["auto", "Auto"], ["online", "Online"], ["offline", "Offline"], ["stopped", "Stop"]];
const MODE_WORDS = { online: "sends at once", offline: "sends only in windows", stopped: "sends nothing" };
const ENDS = { done: "ok", busy: "part", broken: "part", unreachable: "fail", refused: "fail", tls: "fail", auth: "fail", setup: "fail", damaged: "fail", names: "fail", loop: "fail" };

function renderStanding() {
  renderStrip();
  renderDay();
  renderForecast();
  renderSessionsCard();
  renderNotices();
  renderChips();
  renderStat();
  $("#nq").textContent = S.standing.overview.queue.messages;
}

function renderStrip() {
  const { sentence, overview } = S.standing;
  const strip = $("#strip");
  if (!strip.childElementCount) {
    strip.append(
      h("div", { class: "say" }, h("h1", { id: "say" }), h("p", { class: "sub", id: "saysub" })),
      h("div", { class: "c1" }, h("span", { class: "lab", id: "modelab" }, "Mode"), h("div", { class: "seg", role: "group", "aria-labelledby": "modelab", id: "modes" }), h("span", { class: "sub", id: "modesub" })),
      h("div", { class: "c2", id: "linkcell" }),
      h("div", { class: "c3", id: "relaycell" }),
      h("div", { class: "c4", id: "datacell" }),
      h("div", { class: "next", id: "nextcell" }, h("span", { class: "lab", id: "nlab" }), h("div", { class: "cd", id: "cd", role: "timer", "aria-live": "off" }), h("span", { class: "sub", id: "nsub" })),
    );
    for (const [mode, name] of MODES) $("#modes").append(h("button", { type: "button", "data-mode": mode, disabled: !mayChange(), title: `tidegate mode ${mode}`, onclick: () => chooseMode(mode) }, name));
  }
  $("#say").textContent = sentence.text;
  $(".say").className = "say " + sentence.tone;
  const look = overview.queue.look;
  fill($("#saysub"), sentence.detail, " ", look > 0 && h("button", { type: "button", "data-chip": "look", onclick: () => chip("look") }, `${look} need${look === 1 ? "s" : ""} a look`));
  for (const button of $("#modes").children) button.setAttribute("aria-pressed", String(button.dataset.mode === overview.mode.set));
  const until = overview.mode.until ? `, until ${clock(overview.mode.until)}` : "";
  fill($("#modesub"), overview.mode.set === "auto" ? `${capital(overview.mode.now)} now: ${overview.mode.why}` : MODE_WORDS[overview.mode.now] + until);
  renderLink(overview);
  renderRelay(overview);
  renderData(overview);
  tick();
}

function renderLink(overview) {
  const link = overview.links.find((l) => l.up) || overview.links[0];
  const sessions = overview.sessions.slice(-24);
  const counts = { ok: 0, part: 0, fail: 0 };
  for (const session of sessions) counts[ENDS[session.end] || "ok"] += 1;
  const planned = link && link.kind !== "permanent" && !link.up;
  const canCall = overview.links.some((other) => other.call);
  fill($("#linkcell"),
    h("span", { class: "lab" }, overview.links.length > 1 ? `Link, 1 of ${overview.links.length}` : "Link", link && h("button", { class: "inl", type: "button", id: "links", onclick: linksDialog }, canCall && mayChange() ? "Call, hang up…" : "Details")),
    h("span", { class: "val" }, h("i", { class: "dot " + (overview.session || (link && link.call === "calling") ? "try" : link && link.up ? "up" : "") }), b(!link ? "None" : link.call === "calling" ? "Being called" : link.call === "hanging up" ? "Hanging up" : overview.session ? "In use" : link.up ? "Up" : planned ? "Down, as planned" : "Down")),
    link && h("span", { class: "sub ell", title: visible(link.why) }, `${link.name}, ${LINKS[link.kind]}${link.speed ? ", " + rate(link.speed) : ""}`),
    h("div", { class: "beats", role: "img", "aria-label": sessions.length ? `Last ${plural(sessions.length, "session")}: ${counts.ok} complete, ${counts.part} cut short, ${counts.fail} failed` : "No session yet" },
      sessions.map((session) => h("i", { class: ENDS[session.end] || "", title: visible(`${clock(session.started)} ${session.why}`) }))));
}

function renderRelay(overview) {
  const relay = overview.relay, direct = overview.direct;
  if (direct) {
    fill($("#relaycell"), h("span", { class: "lab" }, "Relay"), h("span", { class: "val" }, b("Direct, by MX")),
      h("span", { class: "sub" }, relay ? `last resort: ${relay.host}` : "no relay as last resort"),
      direct.in_trouble > 0 && h("span", { class: "sub" }, `${plural(direct.in_trouble, "domain")} in trouble`));
    return;
  }
  fill($("#relaycell"), h("span", { class: "lab" }, "Relay"), h("span", { class: "val" }, b(relay ? relay.host : "none configured")),
    relay && h("span", { class: "sub" }, overview.last_contact ? `reached ${clock(overview.last_contact)}, port ${relay.port}` : `not reached yet, port ${relay.port}`),
    relay && relay.trouble && h("span", { class: "sub" }, capital(relay.trouble)));
}

function renderData(overview) {
  const since = today();
  const used = overview.sessions.filter((s) => dayOf(s.started) === since).reduce((sum, s) => sum + s.octets_out + s.octets_in, 0);
  const planned = overview.queue.forecast, budget = tightest(overview.budgets || []), money = overview.links.find((l) => typeof l.money_month === "number");
  const plan = overview.mode.now !== "online" && planned && planned.messages ? `${size(planned.octets)} planned at ${clock(planned.opens)}` : "";
  if (budget) {
    const share = budget.used / Math.max(1, budget.octets), later = plan ? planned.octets / Math.max(1, budget.octets) : 0;
    fill($("#datacell"), h("span", { class: "lab" }, `Budget of ${budget.name}, per ${budget.per}`), h("span", { class: "val" }, b(`${size(budget.used)} of ${size(budget.octets)}`)),
      h("div", { class: "meter", role: "img", "aria-label": `${size(budget.used)} of ${size(budget.octets)} used${plan ? ", " + plan : ""}` }, h("i", { class: budget.stop === "none" ? "" : "over", style: { width: percent(share) } }), h("i", { class: "plan", style: { width: percent(Math.min(later, 1 - share)) } })),
      h("span", { class: "sub" }, budget.stop === "none" ? plan || `${size(budget.left)} left` : budget.stop === "soft" ? "used up but for urgent mail" : "used up"));
    return;
  }
  fill($("#datacell"), h("span", { class: "lab" }, "On the wire today"), h("span", { class: "val" }, b(size(used))),
    h("span", { class: "sub" }, plan || (money ? `${money.money_month.toFixed(2)} this month` : "no budget set")),
    h("span", { class: "sub" }, `${size(Math.max(0, overview.disk.free - overview.disk.reserve))} of disk left`));
}

// Of several budgets, the one of which the largest share is used.
const tightest = (budgets) => [...budgets].sort((x, y) => y.used / Math.max(1, y.octets) - x.used / Math.max(1, x.octets))[0];

// The countdown, the clock and what is relative to them; once a second, on the page alone.
function tick() {
  const { overview } = S.standing;
  const wallClock = wall();
  const day = `${dayName(wallClock, { weekday: "short", day: "numeric", month: "short" })} `;
  fill($("#wallclock"), h("span", { class: "day" }, day), wallClock.slice(11, 19));
  const opening = overview.open[0];
  const leaving = whenMailLeaves();
  let label, count, sub;
  if (overview.mode.now === "online") [label, count, sub] = ["Next try", overview.queue.messages ? "at once" : "–", "Online sends as mail comes"];
  else if (overview.mode.now === "stopped") [label, count, sub] = ["Next window", "–", "sending is stopped"];
  else if (opening && (!leaving || (overview.queue.forecast && overview.queue.forecast.messages))) [label, count, sub] = ["Open for another", countdown((instant(opening.closes) - now()) / 1000), `${opening.window}, until ${clock(opening.closes)}`];
  else if (leaving) [label, count, sub] = ["Mail leaves in", countdown((instant(leaving.at) - now()) / 1000), `${clock(leaving.at)} ${leaving.window}`];
  else if (overview.next) [label, count, sub] = ["Next window in", countdown((instant(overview.next.opens) - now()) / 1000), `${clock(overview.next.opens)}–${hm(overview.next.closes)} ${overview.next.window}`];
  else [label, count, sub] = ["Next window", "none", "the schedule has no opening ahead"];
  for (const [id, text] of [["nlab", label], ["cd", count], ["nsub", sub]]) if ($("#" + id).textContent !== visible(text)) $("#" + id).textContent = visible(text);
  const edge = opening ? opening.closes : overview.next && overview.next.opens;
  if (edge && now() > instant(edge) + 1500 && now() - lastEdge > 10000) {
    lastEdge = now();
    doing(loadOverview);
  }
}
let lastEdge = 0;

// The first opening ahead in which something leaves.
const whenMailLeaves = () => S.standing.overview.queue.groups.map((g) => g.next_try).find((next) => next.kind === "window" && next.at && instant(next.at) > now());

function renderDay() {
  const { overview } = S.standing;
  const begins = instant(overview.day_begins), ends = begins + 26 * 36e5;
  const place = (t) => (Math.max(begins, Math.min(ends, t)) - begins) / (ends - begins);
  const lane = [], axis = [];
  for (let t = begins + 36e5; t < ends; t += 36e5) {
    lane.push(h("i", { class: "tick", style: { left: percent(place(t)) } }));
    const shown = new Date(t + zoneMinutes() * 6e4).toISOString().slice(11, 16);
    if (Number(shown.slice(0, 2)) % 2 === 0 && Math.abs(t - now()) > 70 * 6e4) axis.push(h("span", { class: Number(shown.slice(0, 2)) % 6 || Math.abs(t - now()) < 160 * 6e4 ? "o" : "", style: { left: percent(place(t)) } }, shown));
  }
  const said = [];
  const groups = new Map(overview.queue.groups.filter((g) => g.next_try.kind === "window").map((g) => [g.next_try.window + g.next_try.at, g]));
  const often = (name) => overview.day.filter((other) => other.window === name);
  for (const name of new Set(overview.day.filter((block) => !block.by_hand).map((block) => block.window))) {
    const blocks = often(name);
    if (blocks.length < 4 && !blocks[0].times) continue;
    for (const [opens, closes] of runs(blocks)) lane.push(h("i", { class: blocks[0].is_conditional ? "urgl" : "band " + blocks[0].kind, style: { left: percent(place(opens)), width: percent(place(closes) - place(opens)), ...(blocks[0].is_conditional ? { bottom: "1px" } : { top: "5px", bottom: "5px" }) } }));
    const next = blocks.find((block) => instant(block.closes) > now());
    if (next && !next.is_conditional && place(instant(next.opens)) < 0.8) lane.push(h("span", { class: "flag", style: { left: percent(place(instant(next.opens))) } }, clock(next.opens), " ", h("em", {}, name)));
    said.push(`${name} often from ${clock(blocks[0].opens)} to ${clock(blocks.at(-1).closes)}`);
  }
  for (const block of overview.day) {
    const isOften = block.times > 1 || (often(block.window).length > 3 && !block.by_hand);
    if (isOften) {
      if (!block.times && !block.is_conditional) lane.push(h("i", { class: `blk ${block.kind} ${instant(block.closes) < now() ? "done" : ""}`, style: { left: percent(place(instant(block.opens))), width: `max(4px, ${percent(place(instant(block.closes)) - place(instant(block.opens)))})`, top: "24px", bottom: "6px" } }));
      continue;
    }
    const from = place(instant(block.opens)), to = place(instant(block.closes)), wide = to - from > 0.07;
    const group = groups.get(block.window + block.opens);
    const text = group ? `${plural(group.messages, "message")}, ${size(group.octets)}` : block.times > 1 ? `${block.times} times` : KINDS[block.kind];
    lane.push(h("i", { class: `blk ${block.kind} ${instant(block.closes) < now() ? "done" : ""} ${block.is_extra ? "extra" : ""}`, title: visible(`${block.window}, ${clock(block.opens)}–${hm(block.closes)}, ${text}`), style: { left: percent(from), width: `max(4px, ${percent(to - from)})`, top: "5px", bottom: "5px" } },
      wide && h("span", {}, block.window), wide && h("em", {}, text)));
    if (said.length < 6) said.push(`${block.window} ${clock(block.opens)} to ${clock(block.closes)}`);
  }
  lane.push(h("i", { class: "nowl", style: { left: percent(place(now())) } }));
  axis.push(h("span", { class: "n", style: { left: percent(place(now())) } }, "now"));
  fill($("#lane"), lane);
  fill($("#axis"), axis);
  $("#lane").setAttribute("aria-label", visible(said.length ? "Windows: " + said.join("; ") : "No window opens in the next 24 hours"));
}

// Openings that follow each other closely, as stretches of instants.
function runs(blocks) {
  const found = [];
  let pause = 0;
  for (let i = 1; i < blocks.length; i += 1) {
    const gap = instant(blocks[i].opens) - instant(blocks[i - 1].opens);
    pause = pause ? Math.min(pause, gap) : gap;
  }
  for (const block of blocks) {
    const last = found.at(-1);
    if (last && instant(block.opens) - last[2] <= pause * 1.5) [last[1], last[2]] = [instant(block.closes), instant(block.opens)];
    else found.push([instant(block.opens), instant(block.closes), instant(block.opens)]);
  }
  return found;
}

function zoneMinutes() {
  const zone = S.standing.overview.now.slice(19);
  return zone && zone !== "Z" ? (zone[0] === "-" ? -1 : 1) * (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4, 6))) : 0;
}

function renderForecast() {
  const { overview } = S.standing, card = $("#forecast"), f = laterForecast(overview) || overview.queue.forecast;
  if (!f) {
    fill(card, h("header", {}, h("h2", {}, "Next window")), h("div", { class: "pad" }, h("p", { class: "soft" }, overview.queue.is_complete ? "The schedule has no opening ahead." : "The queue is being counted.")));
    return;
  }
  const length = (instant(f.closes) - Math.max(now(), instant(f.opens))) / 1000, share = f.seconds === null ? null : f.seconds / Math.max(1, length);
  const others = overview.queue.groups.filter((g) => !(g.next_try.kind === "window" && g.next_try.window === f.window && g.next_try.at === f.opens) && g.next_try.kind !== "asap");
  const speed = (overview.links.find((l) => l.speed) || {}).speed;
  fill(card, h("header", {}, h("h2", {}, instant(f.opens) <= now() ? "Open window" : "Next window"), h("span", { class: "muted" }, `${clock(f.opens)}–${hm(f.closes)} ${f.window}`)),
    h("div", { class: "pad" },
      h("div", { class: "big" }, f.messages ? plural(f.messages, "message") + " " : "Nothing to send yet", f.messages > 0 && h("small", {}, together(size(f.octets)), f.seconds !== null && ", " + together(`about ${span(f.seconds)}`))),
      h("div", { class: "fill", role: "img", "aria-label": share === null ? "The speed of the line is not known yet" : `${Math.round(share * 100)} percent of the opening` }, h("i", { class: share > 1 ? "over" : "", style: { width: percent(share || 0) } })),
      h("div", { class: "scale" }, h("span", {}, share === null ? "speed not known yet" : `${Math.round(share * 100)} % of ${span(length)}`), h("span", {}, speed ? `at ${rate(speed)}` : "")),
      h("ul", { class: "later" }, others.slice(0, 5).map((g) => h("li", {}, b(g.messages), h("span", {}, staying(g.next_try, g.messages === 1), " ", h("em", {}, size(g.octets))))),
        !others.length && f.staying > 0 && h("li", {}, b(f.staying), h("span", {}, f.staying === 1 ? "stays behind then " : "stay behind then ", h("em", {}, size(f.staying_octets)))))));
}

// What is read as one is not torn apart at the end of a line.
const together = (text) => text.replaceAll(" ", "\u00a0");

// Where the next opening takes nothing: the first one in which something leaves, by the Next Try of what waits.
function laterForecast({ queue, day, links }) {
  const next = whenMailLeaves();
  if (!queue.forecast || queue.forecast.messages || !next || instant(queue.forecast.opens) <= now()) return null;
  const group = queue.groups.find((g) => g.next_try === next), block = day.find((b) => b.window === next.window && b.opens === next.at);
  if (!block) return null;
  const speed = (links.find((l) => l.speed) || {}).speed;
  return { ...block, messages: group.messages, octets: group.octets, seconds: speed ? (group.octets * 8) / speed : null, staying: queue.messages - group.messages, staying_octets: queue.octets - group.octets };
}

function staying(next, one) {
  if (next.kind === "window") return `${one ? "waits" : "wait"} for ${next.window}${next.at ? ", " + clock(next.at) : ""}`;
  const them = one ? "it" : "them";
  return { released: `held until you release ${them}`, never: `no opening admits ${them}`, time: one ? "is tried again later" : "are tried again later" }[next.kind];
}

function renderSessionsCard() {
  const recent = [...S.standing.overview.sessions].reverse().slice(0, 6);
  fill($("#ls"), recent.length ? recent.map((session) => h("li", {}, b(hm(session.started)), h("span", {}, sessionResult(session)))) : h("li", {}, h("span"), h("span", { class: "muted" }, "The line was not used yet.")));
}

function sessionResult(session) {
  const end = ENDS[session.end] || "ok";
  const [state, name] = { ok: ["ok", "check"], part: ["defer", "retry"], fail: ["bad", "alert"] }[end];
  return h("span", { class: "st " + state }, icon(name), h("span", {}, end === "ok" ? h("span", { class: "soft" }, `sent ${session.sent}, ${size(session.octets_out)}`) : b(session.why)));
}

function renderNotices() {
  const { overview } = S.standing, lines = [];
  if (overview.files_changed.length) lines.push(["Changed on disk and not in force: " + overview.files_changed.join(", "), mayChange() && h("button", { class: "btn sm", type: "button", onclick: () => doing(async () => { await call("POST", "/reload", {}); toast("Both files were read and are in force."); }) }, "Reload")]);
  if (overview.not_in_force.length) lines.push(["Not in force yet: " + overview.not_in_force.join(", ")]);
  if (overview.clock) lines.push([`The clock: ${overview.clock}. `, mayChange() && h("button", { class: "btn sm", type: "button", title: "tidegate clock accept", onclick: () => doing(async () => { await call("POST", "/clock/accept", {}); await loadOverview(); toast("The clock is accepted."); }) }, "It is right")]);
  if (overview.undo) lines.push([`${plural(overview.undo, "message")} removed; they can be brought back until ${clock(overview.undo_until)}. `, mayChange() && h("button", { class: "btn sm", type: "button", onclick: undo }, "Undo")]);
  if (overview.disk.set_aside) lines.push([`${plural(overview.disk.set_aside, "file")} set aside: look into set-aside/ of the spool`]);
  if (boot.is_open) lines.push(["No password is set: everybody on this machine may use this console. Set one with ", h("code", {}, "tidegate console password"), "."]);
  fill($("#notices"), lines.length > 0 && h("div", { class: "notice", role: "note" }, lines.map((parts) => h("div", {}, parts))));
}

function renderTraffic(hours) {
  const W = 304, H = 132, left = 42, bottom = 18, plot = H - bottom - 6, step = (W - left) / 24;
  const top = Math.max(1000, ...hours.map((hour) => hour.octets_out + hour.octets_in));
  const y = (value) => 6 + plot - (value / top) * plot;
  const marks = [];
  for (const part of [0, 0.5, 1]) marks.push(svg("line", { class: "ln", x1: left, x2: W, y1: y(top * part), y2: y(top * part) }), svg("text", { x: left - 5, y: y(top * part) + 4, "text-anchor": "end" }, part ? size(Math.round(top * part)) : "0"));
  hours.forEach((hour, i) => {
    const x = left + i * step + 1.5, out = (hour.octets_out / top) * plot, into = (hour.octets_in / top) * plot;
    if (out + into > 0) marks.push(svg("g", {}, svg("title", {}, `${hm(hour.begins)} sent ${size(hour.octets_out)}, received ${size(hour.octets_in)}`), svg("rect", { class: "tx", x, y: y(hour.octets_out), width: step - 3, height: Math.max(out, 0.5), rx: 1.5 }), svg("rect", { class: "rx", x, y: y(hour.octets_out + hour.octets_in), width: step - 3, height: Math.max(0, into - 0.5), rx: 1.5 })));
    if (Number(hm(hour.begins).slice(0, 2)) % 6 === 0) marks.push(svg("text", { x: left + i * step, y: H - 3, "text-anchor": "middle" }, hm(hour.begins)));
  });
  const sent = hours.reduce((sum, hour) => sum + hour.octets_out, 0), got = hours.reduce((sum, hour) => sum + hour.octets_in, 0);
  fill($("#chart"), svg("svg", { class: "chart", viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `Traffic by the hour: ${size(sent)} sent, ${size(got)} received in 24 hours` }, marks));
  fill($("#chartlegend"), h("span", {}, h("i", { class: "sw tx" }), `sent ${size(sent)}`), h("span", {}, h("i", { class: "sw rx" }), `received ${size(got)}`));
}
