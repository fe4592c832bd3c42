// The page: which view is shown, and what is around it.

import {at, drop, get, go} from "./api.js";
import {recolour} from "./charts.js";
import {h, replace, text} from "./dom.js";
import * as feed from "./feed.js";
import {one} from "./function.js";
import {overview} from "./functions.js";
import {flow} from "./map.js";
import {sources} from "./mappings.js";
import {queued} from "./queues.js";
import {entrance, enter} from "./signin.js";
import {traced, listed} from "./traces.js";

const VIEWS = [
  ["functions", "Functions", overview], ["map", "Map", flow], ["mappings", "Mappings", sources],
  ["queues", "Queues", queued], ["traces", "Traces", listed],
];
const OF = {function: [one, "functions"], trace: [traced, "traces"], ...Object.fromEntries(VIEWS.map(([name, , view]) =>
  [name, [view, name]]))};
const main = document.getElementById("main"), nav = document.getElementById("nav"), live = document.getElementById("live");
let end = null, shown = "";

function route() {
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  return OF[name] ? [name, rest] : ["functions", []];
}

function show() {
  const [name, rest] = route();
  const key = `${at()} ${name} ${rest[0] ?? ""}`;
  const [view, tab] = OF[name];
  for (const link of nav.children) {
    if (link.dataset.view === tab) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (key === shown && end?.turn) return end.turn(rest); // another part of the same
  if (end) end.end();
  end = null;
  const moved = shown !== "";
  shown = key;
  const box = h("div", {class: "view"});
  replace(main, box);
  const made = view(box, rest);
  end = typeof made === "function" ? {end: made} : made;
  document.title = `${box.querySelector("h1")?.textContent ?? "Console"} – Stoker`;
  if (moved) main.focus({preventScroll: true});
  window.scrollTo(0, 0);
}

function themes() {
  const root = document.documentElement, dark = matchMedia("(prefers-color-scheme: dark)");
  const button = document.getElementById("theme");
  const now = () => root.dataset.theme ?? (dark.matches ? "dark" : "light");
  const label = () => {
    text(button, now() === "dark" ? "Light" : "Dark");
    button.setAttribute("aria-label", `${button.textContent} theme`);
  };
  button.addEventListener("click", () => {
    root.dataset.theme = now() === "dark" ? "light" : "dark";
    localStorage.setItem("stoker-theme", root.dataset.theme);
    label();
    recolour();
  });
  dark.addEventListener("change", () => { label(); recolour(); });
  label();
}

function places(session) {
  const select = document.getElementById("place");
  go(session.place);
  select.hidden = session.places.length < 2;
  replace(select, session.places.map((each) => h("option", {value: each, selected: each === session.place}, each)));
  select.addEventListener("change", () => {
    go(select.value);
    feed.connect();
    show();
  });
}

function connected(isLive, ended) {
  text(live, isLive ? "live" : "reconnecting");
  live.classList.toggle("on", isLive);
  if (ended) setTimeout(again, 2000); // the browser does not try again: the server is not there, or does not know us
}

async function again() {
  try {
    const session = await get("session");
    if (session.place) feed.connect();
    else location.reload();
  } catch {
    setTimeout(again, 2000);
  }
}

async function start() {
  themes();
  document.getElementById("skip").addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
  replace(nav, VIEWS.map(([name, label]) => h("a", {href: `#/${name}`, "data-view": name}, label)));
  let session = null;
  try {
    if (location.hash.startsWith("#token=")) {
      const token = location.hash.slice("#token=".length);
      history.replaceState(null, "", location.pathname); // it works once, and need not be seen
      await enter({token}).catch(() => {});
    }
    session = await get("session");
  } catch (error) {
    text(live, "");
    replace(main, h("p", {class: "bad", role: "alert"}, error.message));
    return;
  }
  if (!session.place) {
    text(live, "");
    entrance(main);
    return;
  }
  if (session.guarded) {
    const leave = document.getElementById("leave");
    leave.hidden = false;
    leave.addEventListener("click", async () => {
      feed.close();
      await drop("session");
      location.reload();
    });
  }
  places(session);
  feed.open(connected);
  window.addEventListener("hashchange", show);
  show();
}

start();
