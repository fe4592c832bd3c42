// One trace: its segments and their parts, each below what caused it, along one axis of time.

import {h, replace, s} from "./dom.js";
import {seconds} from "./format.js";

const DEEPEST = 12, MOST = 1000;

/** Segments as a list in the order of a tree: [{document, depth}]. */
function tree(documents) {
  const known = new Set(), below = new Map(), roots = [];
  const note = (document) => {
    known.add(document.id);
    for (const each of document.subsegments ?? []) note(each);
  };
  documents.forEach(note);
  for (const each of documents) {
    if (each.parent_id && known.has(each.parent_id)) below.set(each.parent_id, [...(below.get(each.parent_id) ?? []), each]);
    else roots.push(each);
  }
  const rows = [], seen = new Set();
  const add = (document, depth) => {
    if (seen.has(document.id) || rows.length >= MOST) return;
    seen.add(document.id);
    rows.push({document, depth: Math.min(depth, DEEPEST)});
    const inner = [...(document.subsegments ?? []), ...(below.get(document.id) ?? [])];
    inner.sort((a, b) => a.start_time - b.start_time);
    for (const each of inner) add(each, depth + 1);
  };
  roots.sort((a, b) => a.start_time - b.start_time);
  for (const each of roots) add(each, 0);
  return rows;
}

export function waterfall(documents) {
  const rows = tree(documents);
  const start = Math.min(...rows.map(({document}) => document.start_time));
  const ends = rows.map(({document}) => document.end_time ?? document.start_time);
  const whole = Math.max(...ends) - start || 1e-6;
  const detail = h("div", {class: "card detail", "aria-live": "polite"}, h("p", {class: "soft"}, "Choose a segment."));
  const list = h("ol", {class: "waterfall"}, rows.map(({document, depth}) => {
    const from = ((document.start_time - start) / whole) * 100;
    const long = Math.max(0.3, (((document.end_time ?? document.start_time) - document.start_time) / whole) * 100);
    const bad = document.fault || document.error || document.throttle;
    const took = (document.end_time ?? document.start_time) - document.start_time;
    const bar = s("svg", {class: "bars", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true"},
      s("rect", {x: Math.min(from, 99.7), y: 1, width: Math.min(long, 100 - Math.min(from, 99.7)), height: 8,
        class: bad ? "bad" : depth && !document.origin ? "part" : "whole"}));
    return h("li", {}, h("button", {type: "button", class: `span d${depth}`, onclick: () => replace(detail, described(document))},
      h("span", {class: "name"}, document.name, document.origin && h("small", {}, ` ${document.origin}`)), bar,
      h("span", {class: "took"}, seconds(took))));
  }));
  return [h("p", {class: "soft"}, `${rows.length} segments and parts in ${seconds(whole)}`), list, detail];
}

function described(document) {
  const {subsegments, ...shown} = document;
  return [h("h2", {}, document.name), h("pre", {class: "json", tabindex: 0}, JSON.stringify(shown, null, 2))];
}
