// All functions: what they do now, together and each.

import {chart} from "./charts.js";
import {h} from "./dom.js";
import {functions, history, listen} from "./feed.js";
import {count, duration, rate} from "./format.js";
import {table} from "./table.js";

const ms = (value) => duration(Math.round(value * 1e3));

/** The charts of a history: how many, and how long. */
export function pictures(of) {
  return [
    chart("Invocations/s", of, [
      {name: "rate", label: "rate", colour: "blue", show: rate, fill: true},
      {name: "errors", label: "errors", colour: "red", show: rate},
      {name: "throttles", label: "throttled", colour: "amber", show: rate},
    ]),
    chart("Duration", of, [
      {name: "p99", label: "p99", colour: "violet", show: ms}, {name: "p50", label: "p50", colour: "green", show: ms},
    ]),
    chart("Concurrency", of, [
      {name: "running", label: "running", colour: "blue", show: count, fill: true},
      {name: "cold", label: "cold starts", colour: "amber", show: count},
    ]),
  ];
}

export function overview(box) {
  const charts = pictures(history);
  const listing = table("Functions", [
    {key: "name", label: "Function", value: (f) => f.name, show: (f) => f.name,
      link: (f) => `#/function/${encodeURIComponent(f.name)}`},
    {key: "rate", label: "Rate/s", value: (f) => f.rate, show: (f) => rate(f.rate), number: true, live: true},
    {key: "p50", label: "p50", value: (f) => f.p50, show: (f) => duration(f.p50), number: true, live: true},
    {key: "p99", label: "p99", value: (f) => f.p99, show: (f) => duration(f.p99), number: true, live: true},
    {key: "failing", label: "Errors/s", value: (f) => f.failing, show: (f) => rate(f.failing), number: true, live: true,
      mark: (f) => (f.failing ? "bad" : "")},
    {key: "running", label: "Running", value: (f) => f.running, show: (f) => f.running, number: true, live: true},
    {key: "total", label: "Invocations", value: (f) => f.total, show: (f) => count(f.total), number: true, live: true},
    {key: "errors", label: "Errors", value: (f) => f.errors, show: (f) => count(f.errors), number: true, live: true,
      mark: (f) => (f.errors ? "bad" : "")},
    {key: "throttles", label: "Throttles", value: (f) => f.throttles, show: (f) => count(f.throttles), number: true,
      live: true},
    {key: "cold", label: "Cold starts", value: (f) => f.cold, show: (f) => count(f.cold), number: true, live: true},
  ], {rows: () => [...functions.values()].filter((each) => each.name), named: (f) => f.name, sort: "rate",
    empty: "There is no function of that name yet. stoker deploy PATH makes one."});
  box.append(h("h1", {}, "Functions"), h("div", {class: "charts"}, charts.map((each) => each.element)), listing.element);
  const draw = (lists) => {
    for (const each of charts) each.draw();
    listing.draw(lists.has("functions"));
  };
  draw(new Set(["functions"]));
  const stop = listen(draw);
  return () => {
    stop();
    for (const each of charts) each.end();
  };
}
