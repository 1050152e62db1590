// One message in full: why it is still here, its recipients, what happened, its header fields.

const CHECKS = { ok: ["y", "check"], wait: ["n", "clock"], stop: ["x", "alert"] };
const STANDINGS = { pending: ["wait", "clock", "Waits"], delivered: ["ok", "check", "Delivered"], failed: ["bad", "alert", "Refused"], expired: ["bad", "alert", "Given up"] };
const STEPS = { received: ["ok", "Accepted"], attempt: ["fut", "Tried"], delivered: ["ok", "Delivered"], deferred: ["part", "Put off"], failed: ["bad", "Failed"], "in-doubt": ["bad", "In doubt"], held: ["part", "Held"], released: ["ok", "Released"], removed: ["bad", "Removed"], restored: ["ok", "Brought back"] };
let opener = null;
let wanted = null; // whose details are to be seen: open, or on their way

function openDrawer(id, focus = true) {
  if (focus) opener = document.activeElement;
  wanted = id;
  return fetchDetails(id, focus);
}

// What is open has changed.
const refreshDrawer = () => S.open !== null && wanted === S.open && fetchDetails(S.open, false);

async function fetchDetails(id, focus) {
  const message = await doing(() => read("/messages/" + id));
  if (wanted !== id) return; // closed meanwhile, or another one is to be seen
  if (!message) {
    wanted = S.open;
    return;
  }
  S.open = S.current = id;
  renderDrawer(message);
  marks();
  if (focus) $("#drawer").focus({ preventScroll: true });
}

// True if there was something to close, or something was about to open.
function closeDrawer() {
  const was = wanted !== null;
  wanted = null;
  if (S.open === null) return was;
  const id = S.open;
  S.open = null;
  $("#drawer").hidden = true;
  $("#v-queue").classList.remove("with");
  marks();
  const back = opener && opener.isConnected ? opener : trs.get(id) && trs.get(id).tr.querySelector(".ti button");
  if (back) back.focus({ preventScroll: true });
  return true;
}

function renderDrawer({ subject, fields, attachments, message }) {
  const drawer = $("#drawer"), row = { id: message.id, size: message.size, state: message.held ? "held" : "waiting" };
  const scroll = drawer.querySelector(".body")?.scrollTop || 0;
  const bad = message.checks.find((check) => check.state === "stop"), waits = message.checks.find((check) => check.state === "wait");
  const tone = message.held ? ["h", "pause"] : bad || message.in_doubt ? ["x", "alert"] : waits ? ["n", "clock"] : ["w", "send"];
  const button = (name, icon_, kind, work, command) => h("button", { type: "button", class: "btn " + kind, disabled: !mayChange(), title: command, onclick: work }, icon(icon_), name);
  drawer.replaceChildren();
  add(drawer, [
    h("header", {}, h("div", { class: "dh" }, h("div", { class: "dt" }, h("div", { class: "muted mono" }, message.id), h("h2", {}, subject || "(no subject)")), h("button", { type: "button", class: "btn ghost", "aria-label": "Close details", onclick: closeDrawer }, icon("x"))),
      h("div", { class: "acts" },
        button("Try now", "send", "pri", () => tryNow([message.id]), `tidegate try ${message.id}`),
        button(message.held ? "Release" : "Hold", "pause", "", () => holdOrRelease([row]), `tidegate ${message.held ? "release" : "hold"} ${message.id}`),
        h("a", { class: "btn", href: `/api/v1/messages/${message.id}/source`, download: message.id + ".eml" }, icon("dl"), "Save .eml"),
        button("Remove…", "trash", "danger", () => removeDialog([row]), `tidegate remove ${message.id}`))),
    h("div", { class: "body" },
      h("section", {}, h("h3", {}, "Why is it still here?"), h("div", { class: "verdict " + tone[0] }, icon(tone[1]), h("span", {}, message.verdict)),
        h("ul", { class: "why" }, message.checks.map((check) => {
          const [mark, name] = CHECKS[check.state];
          return h("li", { class: mark }, icon(name), b(capital(check.name)), h("span", { class: "soft" }, check.text, check.line > 0 && check.file && h("small", { class: "muted" }, ` ${check.file.split("/").pop()}, line ${check.line}`)));
        }))),
      h("section", {}, h("h3", {}, `Recipients, ${message.recipients.length}`), h("table", { class: "rc" }, h("tbody", {}, message.recipients.slice(0, 200).map((recipient) => {
        const [state, name, text] = STANDINGS[recipient.standing];
        const said = recipient.reply || "not tried yet";
        const again = recipient.standing === "pending" && recipient.reply ? ["defer", "retry", "Tries again"] : [state, name, text];
        return h("tr", {}, h("td", {}, b(recipient.address), h("br"), h("span", { class: "rep" }, said)), h("td", { class: "nowrap num" }, h("span", { class: "st " + again[0] }, icon(again[1]), h("span", {}, b(again[2]))), recipient.at && h("div", { class: "muted" }, clock(recipient.at))));
      })))),
      h("section", {}, h("h3", {}, "History"), h("ul", { class: "att" }, whatHappened(message))),
      message.conversations.length > 0 && h("section", {}, h("h3", {}, "SMTP conversation"), [...message.conversations].reverse().map((said, i) => h("details", { open: i === 0 }, h("summary", {}, `${clock(said.at)}:${said.at.slice(17, 19)} with ${said.relay}`), h("pre", { class: "smtp", tabindex: "0", "aria-label": "SMTP conversation" }, said.lines.map((line) => [h("span", { class: spoken(line) }, line), h("br")]))))),
      h("section", {}, h("h3", {}, "Message"), h("dl", { class: "hd" }, facts(message, attachments).map(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]))),
      h("section", {}, h("details", {}, h("summary", {}, `Header, ${plural(fields.length, "field")}`), h("dl", { class: "hd" }, fields.map((field) => [h("dt", {}, field.name), h("dd", {}, field.value)]))))),
  ]);
  drawer.hidden = false;
  $("#v-queue").classList.add("with");
  drawer.querySelector(".body").scrollTop = scroll;
}

function spoken(line) {
  if (line.startsWith("C:")) return "c";
  if (line.startsWith("#")) return "o";
  return /^S: [45]/.test(line) ? "e" : "s";
}

function whatHappened(message) {
  const steps = [...message.steps].reverse(), items = [];
  if (message.next_try.at) items.push(h("li", { class: "fut" }, h("div", { class: "t" }, b("Next try planned"), h("span", {}, clock(message.next_try.at))), h("div", { class: "soft" }, message.next_try.window || "")));
  for (const step of steps) {
    const [mark, name] = STEPS[step.kind] || ["", capital(step.kind)];
    items.push(h("li", { class: mark === "fut" ? "" : mark }, h("div", { class: "t" }, b(name), h("span", {}, `${clock(step.at)}:${step.at.slice(17, 19)}`)), h("div", { class: "rep" }, step.text.replace(/^\S+ \S+ /, "").replace(/\b\d{4}-\d\d-\d\dT[\d:]{8}Z/g, onTheWall))));
  }
  if (!steps.some((step) => step.kind === "received")) items.push(h("li", { class: "ok" }, h("div", { class: "t" }, b("Accepted"), h("span", {}, clock(message.created))), h("div", { class: "soft" }, message.client ? `from ${message.client}${message.user ? ", signed in as " + message.user : ""}` : "made here")));
  return items;
}

function facts(message, attachments) {
  const list = [["From", message.from || "‹ › (a report of the gateway)"], ["Size", size(message.size)], ...(attachments.length ? [["Attached", attachments.join(", ")]] : []), ["Class", message.class], ["Accepted", `${message.created.replace("T", " ")}${message.client ? " from " + message.client : ""}${message.user ? ", signed in as " + message.user : ""}`], ["Attempts", String(message.attempts)], ["Files", message.files.join(", ")], ["SHA-256", message.sha256]];
  if (message.hold_note) list.push(["Note", message.hold_note]);
  if (message.in_doubt) list.push(["In doubt", "the answer to an earlier try was lost: it may arrive twice"]);
  return list;
}
