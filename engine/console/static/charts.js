// Live charts, by uPlot: a canvas, and what it shows as text beside it.

import {h, text} from "./dom.js";
import {clock} from "./format.js";

const HEIGHT = 150, SPAN = 120; // seconds that are shown
const all = new Set();

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** of: a history; lines: [{name, label, colour, show}]. `draw` shows what it has by now. */
export function chart(title, of, lines, span = SPAN) {
  const legend = lines.map((line) => h("span", {class: `key ${line.colour}`}, ""));
  const box = h("div", {class: "plot", role: "img", "aria-label": title});
  const element = h("figure", {class: "chart"}, h("figcaption", {}, h("b", {}, title), " ", ...legend), box);
  let plot = null;

  function made() {
    const axis = {stroke: colour("--soft"), grid: {stroke: colour("--line"), width: 1}, ticks: {show: false},
      font: "11px system-ui, sans-serif"};
    return new uPlot({
      width: Math.max(200, box.clientWidth), height: HEIGHT, cursor: {show: false}, legend: {show: false},
      padding: [8, 8, 0, 0],
      scales: {x: {time: true, range: (_, low, high) => (span ? [high - span, high] : [low, high])},
        y: {range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1]}},
      axes: [{...axis, size: 24, space: 74, values: (_, splits) => splits.map((at) => clock(at * 1e3, Boolean(span)))},
        {...axis, size: 46, space: 34}],
      series: [{}, ...lines.map((line) => ({stroke: colour(`--${line.colour}`), width: 1.5, points: {show: !span, size: 4},
        fill: line.fill ? colour(`--${line.colour}-fill`) : undefined}))],
    }, data(), box);
  }

  const from = () => (span ? Math.max(0, of.at.length - span - 2) : 0);
  const data = () => [of.at.slice(from()), ...lines.map((line) => of[line.name].slice(from()))];

  function draw() {
    if (!element.isConnected) return;
    if (!plot) {
      plot = made();
      watcher.observe(box);
    } else {
      plot.setData(data());
    }
    const last = of.at.length - 1;
    lines.forEach((line, index) => {
      const value = last < 0 ? null : of[line.name][last];
      text(legend[index], `${line.label} ${value === null || value === undefined ? "–" : line.show(value)}`);
    });
  }

  function redo() {
    if (plot) {
      plot.destroy();
      plot = null;
      draw();
    }
  }

  const watcher = new ResizeObserver(() => {
    if (plot && box.clientWidth && Math.abs(box.clientWidth - plot.width) > 1) {
      plot.setSize({width: box.clientWidth, height: HEIGHT});
    }
  });
  const self = {element, draw, redo, end() {
    all.delete(self);
    watcher.disconnect();
    if (plot) plot.destroy();
    plot = null;
  }};
  all.add(self);
  return self;
}

/** Colours are others by now. */
export function recolour() {
  for (const each of all) each.redo();
}
