// The map: producers, routers and consumers, with what goes along the edges.

import {get} from "./api.js";
import {h, replace, s, text} from "./dom.js";
import {rate} from "./format.js";
import {layered} from "./layout.js";

const EVERY = 5000; // milliseconds
const WIDE = 168, TALL = 40, GAP = 14, ACROSS = 84, EDGE = 12;

export function flow(box) {
  const picture = h("div", {class: "scroll map", tabindex: 0, role: "region", "aria-label": "Map"});
  const note = h("p", {class: "soft", role: "status"}, "Loading…");
  const rows = h("tbody");
  const list = h("details", {}, h("summary", {}, "As a table"), h("div", {class: "scroll", tabindex: 0, role: "region",
    "aria-label": "Map as a table"}, h("table", {}, h("thead", {}, h("tr", {}, ["From", "To", "Events/s", ""].map((each) =>
    h("th", {scope: "col"}, each || "What")))), rows)));
  box.append(h("h1", {}, "Map"), note, picture, list);
  let ended = false, timer = 0, shape = "", labels = [];

  async function show() {
    try {
      const found = await get("map");
      if (ended) return;
      text(note, found.nodes.length ? `${found.nodes.length} nodes, ${found.edges.length} edges; events a second over the last `
        + `minute or two${found.more ? "; not all of them" : ""}` : "Nothing is connected to anything yet.");
      const now = JSON.stringify([found.nodes, found.edges.map((each) => each.slice(0, 3))]);
      if (now !== shape) {
        shape = now;
        labels = draw(picture, found);
      }
      found.edges.forEach((edge, index) => labels[index]?.(edge[3]));
      const names = new Map(found.nodes.map(([id, , name]) => [id, name]));
      replace(rows, found.edges.map(([from, to, label, value]) => h("tr", {}, h("td", {}, names.get(from)),
        h("td", {}, names.get(to)), h("td", {class: "number"}, value === null ? "–" : rate(value)), h("td", {}, label))));
    } catch (error) {
      if (!ended) text(note, error.message);
    }
    if (!ended) timer = setTimeout(show, EVERY);
  }

  show();
  return () => {
    ended = true;
    clearTimeout(timer);
  };
}

/** Draws the graph; a function for each edge, which shows its rate. */
function draw(picture, {nodes, edges}) {
  const {columns, depth} = layered(nodes, edges);
  const most = Math.max(1, ...columns.map((each) => each.length));
  const height = most * (TALL + GAP) + 2 * EDGE, width = columns.length * (WIDE + ACROSS) - ACROSS + 2 * EDGE;
  const at = new Map();
  columns.forEach((column, index) => {
    const top = (height - column.length * (TALL + GAP) + GAP) / 2;
    column.forEach((id, row) => at.set(id, [EDGE + index * (WIDE + ACROSS), top + row * (TALL + GAP)]));
  });
  const shown = edges.map((edge) => line(edge, at, depth));
  const svg = s("svg", {viewBox: `0 0 ${Math.max(width, 200)} ${height}`, width: Math.max(width, 200), height, role: "group",
    "aria-label": `A graph of ${nodes.length} nodes and ${edges.length} edges`},
  s("defs", {}, s("marker", {id: "tip", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7,
    orient: "auto-start-reverse"}, s("path", {d: "M0 0L8 4L0 8z", class: "tip"}))),
  shown.map((each) => each.path), nodes.map((node) => card(node, at.get(node[0]))), shown.map((each) => each.label));
  replace(picture, svg);
  return shown.map((each) => each.show);
}

function card([, kind, name], [x, y]) {
  const short = name.length > 22 ? `${name.slice(0, 10)}…${name.slice(-11)}` : name;
  const inner = [s("title", {}, `${kind} ${name}`), s("rect", {x, y, width: WIDE, height: TALL, rx: 6}),
    s("text", {x: x + 10, y: y + 16, class: "kind"}, kind), s("text", {x: x + 10, y: y + 31}, short)];
  const group = kind === "function" ? s("a", {href: `#/function/${encodeURIComponent(name)}`}, inner) : s("g", {}, inner);
  group.setAttribute("class", `node ${kind.replace(" ", "-")}`);
  return group;
}

function line([from, to, label], at, depth) {
  const [x1, y1] = at.get(from), [x2, y2] = at.get(to);
  const back = depth.get(to) <= depth.get(from);
  const a = [x1 + WIDE, y1 + TALL / 2], b = back ? [x2 + WIDE, y2 + TALL / 2 + 6] : [x2 - 2, y2 + TALL / 2];
  const bend = back ? 46 : Math.max(30, (b[0] - a[0]) / 2);
  const c = [a[0] + bend, a[1]], d = [back ? b[0] + bend : b[0] - bend, b[1]];
  const path = s("path", {d: `M${a}C${c} ${d} ${b}`, class: "edge", "marker-end": "url(#tip)"}, s("title", {}, label));
  const t = 0.5, u = 1 - t;
  const [x, y] = [0, 1].map((i) => u ** 3 * a[i] + 3 * u * u * t * c[i] + 3 * u * t * t * d[i] + t ** 3 * b[i]);
  const words = s("text", {x, y: y - 4, class: "rate"}, "");
  return {path, label: words, show(value) {
    text(words, [value ? `${rate(value)}/s` : "", label].filter(Boolean).join(" "));
    path.setAttribute("class", value ? "edge busy" : value === null ? "edge unknown" : "edge");
    path.setAttribute("stroke-width", value ? Math.min(6, 1.5 + Math.log10(1 + value)) : 1.2);
  }};
}
