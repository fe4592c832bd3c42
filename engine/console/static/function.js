// One function: its figures now, and the parts that are behind its tabs.

import {code} from "./code.js";
import {configuration, triggers, versions} from "./details.js";
import {h, replace, text} from "./dom.js";
import {listen, named, watch} from "./feed.js";
import {count, duration, rate} from "./format.js";
import {pictures} from "./functions.js";
import {hour} from "./hour.js";
import {logs} from "./logs.js";
import {trial} from "./trial.js";

const PARTS = [["overview", "Overview"], ["code", "Code"], ["configuration", "Configuration"], ["test", "Test"],
  ["logs", "Logs"], ["versions", "Versions"], ["triggers", "Triggers"]];
const SHOW = {code, configuration, test: trial, logs, versions, triggers};
const FIGURES = [
  ["Rate", (f) => `${rate(f.rate)}/s`], ["p50", (f) => duration(f.p50)], ["p99", (f) => duration(f.p99)],
  ["Running", (f) => count(f.running)], ["Invocations", (f) => count(f.total)], ["Errors", (f) => count(f.errors)],
  ["Throttles", (f) => count(f.throttles)], ["Cold starts", (f) => count(f.cold)],
];

export function one(box, [name, part]) {
  const values = FIGURES.map(() => h("dd", {}, "–"));
  const figures = h("dl", {class: "figures"}, FIGURES.map(([label], index) =>
    h("div", {}, h("dt", {}, label), values[index])));
  const tabs = h("nav", {class: "tabs", "aria-label": "Parts of the function"}, PARTS.map(([id, label]) =>
    h("a", {href: `#/function/${encodeURIComponent(name)}/${id}`, "data-part": id}, label)));
  const about = h("p", {class: "soft about"});
  const inner = h("section", {class: "part"});
  box.append(h("p", {class: "crumb"}, h("a", {href: "#/functions"}, "Functions"), " / "), h("h1", {}, name), about,
    figures, tabs, inner);
  const past = watch(name);
  let end = null;

  function turn([, wanted]) {
    const id = SHOW[wanted] ? wanted : "overview";
    for (const tab of tabs.children) {
      if (tab.dataset.part === id) tab.setAttribute("aria-current", "page");
      else tab.removeAttribute("aria-current");
    }
    if (end) end();
    replace(inner);
    end = (id === "overview" ? overview : SHOW[id])(inner, name, past) ?? null;
  }

  function draw() {
    const found = named(name);
    if (!found) return text(about, "There is no such function here.");
    text(about, [found.description, found.runtime, found.memory && `${found.memory} MB`,
      found.timeout && `timeout ${found.timeout} s`].filter(Boolean).join(" · "));
    FIGURES.forEach(([, show], index) => text(values[index], show(found)));
    return null;
  }

  draw();
  const stop = listen(draw);
  turn([name, part]);
  return {turn, end() {
    stop();
    watch(null);
    if (end) end();
  }};
}

function overview(inner, name, past) {
  const charts = pictures(past);
  const older = h("div", {class: "charts"});
  inner.append(h("h2", {}, "Now"), h("div", {class: "charts"}, charts.map((each) => each.element)),
    h("h2", {}, "The last hour"), older);
  const stopHour = hour(older, name);
  const draw = () => { for (const each of charts) each.draw(); };
  draw();
  const stop = listen(draw);
  return () => {
    stop();
    stopHour();
    for (const each of charts) each.end();
  };
}
