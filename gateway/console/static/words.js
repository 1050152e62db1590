// Sizes, spans and instants as an operator reads them: 24 h, in the schedule's zone, which every instant carries with it.

const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;

function size(octets) {
  if (octets < 1000) return `${octets} B`;
  for (const [unit, scale] of [["kB", 1e3], ["MB", 1e6], ["GB", 1e9]]) {
    const value = octets / scale;
    if (value < 999.5 || unit === "GB") return `${value < (unit === "kB" ? 9.95 : 99.5) ? value.toFixed(1).replace(".0", "") : Math.round(value)} ${unit}`;
  }
}

function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  const d = Math.floor(s / 86400), hours = Math.floor((s % 86400) / 3600), m = Math.floor((s % 3600) / 60);
  if (d) return `${plural(d, "day")} ${hours} h`;
  if (hours) return `${hours} h ${m} min`;
  if (m) return s % 60 && m < 10 ? `${m} min ${s % 60} s` : `${m} min`;
  return `${s} s`;
}

const instant = (iso) => Date.parse(iso);
const now = () => Date.now() + S.skew;
const dayOf = (iso) => iso.slice(0, 10);
const hm = (iso) => iso.slice(11, 16);
const dayName = (iso, form = { weekday: "short" }) => new Date(dayOf(iso) + "T12:00:00Z").toLocaleDateString("en-GB", { ...form, timeZone: "UTC" });

// `12:30` today, `Wed 12:30` within a week, `24 Dec 12:30` beyond.
function clock(iso) {
  if (!iso) return "–";
  const days = Math.round((Date.parse(dayOf(iso)) - Date.parse(today())) / 864e5);
  if (days === 0) return hm(iso);
  if (Math.abs(days) < 7) return `${dayName(iso)} ${hm(iso)}`;
  return `${dayName(iso, { day: "numeric", month: "short" })} ${hm(iso)}`;
}

// Today on the wall of the schedule's zone: what the gateway's clock says there, moved on by what has passed since.
function today() {
  return wall().slice(0, 10);
}

function wall() {
  const zone = S.standing.overview.now.slice(19);
  const minutes = zone === "Z" || !zone ? 0 : (zone[0] === "-" ? -1 : 1) * (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4, 6)));
  return new Date(now() + minutes * 6e4).toISOString();
}

// An instant of the log, in UTC, as the schedule's zone has it.
const onTheWall = (utc) => clock(new Date(Date.parse(utc) + zoneMinutes() * 6e4).toISOString());

function ahead(iso) {
  const seconds = (instant(iso) - now()) / 1000;
  if (seconds <= 0) return "now";
  if (seconds < 60) return "in 1 min";
  if (seconds < 3600) return `in ${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `in ${Math.round(seconds / 3600)} h`;
  return `in ${Math.round(seconds / 86400)} days`;
}

function countdown(seconds) {
  const s = Math.max(0, Math.round(seconds)), two = (n) => String(n).padStart(2, "0");
  if (s >= 86400) return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
  return (s >= 3600 ? Math.floor(s / 3600) + ":" : "") + two(Math.floor((s % 3600) / 60)) + ":" + two(s % 60);
}

const rate = (bits) => (bits >= 1e6 ? `${(bits / 1e6).toFixed(1).replace(".0", "")} Mbit/s` : `${Math.round(bits / 1e3)} kbit/s`);
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

function wireSeconds(session) {
  return (session.ended ? instant(session.ended) - instant(session.started) : now() - instant(session.started)) / 1000;
}

const KINDS = { all: "all mail", limited: "limited", urgent: "urgent only" };
const LINKS = { permanent: "permanent", metered: "metered", dialled: "dialled" };
