// What the page knows, and how it asks the gateway.

const boot = JSON.parse($("#boot").textContent);

const S = {
  token: boot.token,
  role: boot.role,
  standing: boot.standing,
  skew: Date.parse(boot.standing.overview.now) - Date.now(),
  view: boot.view,
  page: boot.page,
  ask: { filter: "", show: "all", window: "", sort: "created", order: "desc", offset: 0 },
  selected: new Map(),
  anchor: null,
  current: null,
  open: null,
  progress: new Map(),
};

const LIMIT = 100;
const mayChange = () => S.role === "operator";

// What a page asks by itself keeps nobody signed in: it says so where no person was at it for a while.
let touched = Date.now();
for (const name of ["pointerdown", "keydown", "wheel", "touchmove"]) addEventListener(name, () => { touched = Date.now(); }, { passive: true, capture: true });

async function call(method, path, body) {
  const request = { method, headers: { accept: "application/json" } };
  if (Date.now() - touched > 60000) request.headers["x-background"] = "yes";
  if (body !== undefined) {
    request.headers["content-type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  if (method !== "GET") request.headers["x-token"] = S.token;
  let answer;
  try {
    answer = await fetch("/api/v1" + path, request);
  } catch {
    throw new Error("The gateway does not answer.");
  }
  if (answer.status === 401) {
    location.assign("/signin");
    throw new Error("Signed out.");
  }
  const value = await answer.json();
  if (!answer.ok) {
    const error = new Error(capital(value.error || "The gateway refused."));
    error.status = answer.status;
    throw error;
  }
  return value;
}

const read = (path) => call("GET", path);

// Do something, and say what came of it; a refusal is said, too.
async function doing(work) {
  try {
    return await work();
  } catch (error) {
    toast(error.message);
    return null;
  }
}

function pageAddress() {
  const words = new URLSearchParams();
  for (const [name, value] of Object.entries(S.ask)) if (value !== "" && value !== 0) words.set(name, value);
  words.set("limit", LIMIT);
  return "/queue?" + words;
}

let asked = 0;
async function loadPage() {
  const number = ++asked;
  try {
    const page = await read(pageAddress());
    if (number !== asked) return;
    S.page = page;
    mistake("");
    renderTable();
  } catch (error) {
    if (number === asked) (error.status === 422 ? mistake : toast)(error.message);
  }
}

function mistake(text) {
  const place = $("#mistake");
  place.hidden = !text;
  place.textContent = visible(text.replace(/\n/g, "\u0001")).replace(/\\u0001/g, "\n");
  const field = $("#filter");
  if (field) field.setAttribute("aria-invalid", text ? "true" : "false");
}

async function loadOverview() {
  const standing = await read("/overview");
  takeOverview(standing);
}

function takeOverview(standing) {
  S.standing = standing;
  S.skew = Date.parse(standing.overview.now) - Date.now();
  renderStanding();
}

let toastTimer;
function toast(text, action, work) {
  const place = $("#toast");
  place.replaceChildren();
  add(place, [h("span", {}, text), action && h("button", { type: "button", onclick: () => { place.hidden = true; work(); } }, action)]);
  place.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { place.hidden = true; }, action ? 15000 : 7000);
}
