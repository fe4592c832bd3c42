// A table that shows a page of many rows: it has as many elements as are seen, whatever there is.

import {h, replace, text} from "./dom.js";

const PAGE = 25;
const SETTLE = 5000; // milliseconds that an order by live values stays

/** columns: [{key, label, value(row) for sorting, show(row), link(row), number, live, mark(row)}]; named: what a row is
 * found by. */
export function table(caption, columns, {rows, named, empty, sort, page = PAGE}) {
  let wanted = "", at = 0, by = sort, down = columns.find((each) => each.key === sort)?.number ?? false;
  let ordered = [], settled = 0, shown = [];
  const search = h("input", {type: "search", placeholder: "Search", "aria-label": `Search ${caption}`, oninput: () => {
    wanted = search.value.toLowerCase();
    at = 0;
    draw(true);
  }});
  const body = h("tbody");
  const where = h("span", {class: "soft", role: "status"});
  const back = h("button", {type: "button", class: "quiet", onclick: () => turn(-1)}, "Previous");
  const on = h("button", {type: "button", class: "quiet", onclick: () => turn(1)}, "Next");
  const heads = columns.map((column) => {
    const head = h("th", {scope: "col", class: column.number && "number"});
    if (column.value) {
      head.append(h("button", {type: "button", class: "sort", onclick: () => {
        down = by === column.key ? !down : Boolean(column.number);
        by = column.key;
        at = 0;
        draw(true);
      }}, column.label));
    } else head.append(column.label);
    return head;
  });
  const nothing = h("p", {class: "soft"}, empty);
  const frame = h("table", {}, h("caption", {class: "hidden"}, caption), h("thead", {}, h("tr", {}, heads)), body);
  const pager = h("div", {class: "pager"}, back, where, on);
  const element = h("div", {class: "listing"}, h("div", {class: "bar"}, search, pager),
    h("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": caption}, frame), nothing);

  function turn(by) {
    at = Math.max(0, Math.min(at + by, Math.ceil(ordered.length / page) - 1));
    draw();
  }

  function order() {
    const column = columns.find((each) => each.key === by) || columns[0];
    const sign = down ? -1 : 1;
    ordered = [...rows()].filter((row) => !wanted || named(row).toLowerCase().includes(wanted));
    ordered.sort((a, b) => {
      const [x, y] = [column.value(a), column.value(b)];
      const found = typeof x === "string" ? x.localeCompare(y) : (x ?? -1) - (y ?? -1);
      return found * sign || named(a).localeCompare(named(b));
    });
    settled = performance.now();
    columns.forEach((each, index) => {
      if (!each.value) return;
      heads[index].setAttribute("aria-sort", each.key === by ? (down ? "descending" : "ascending") : "none");
    });
  }

  function held() {
    return body.matches(":hover") || body.contains(document.activeElement);
  }

  /** anew: rows came or went, or were asked for in another order. */
  function draw(anew = false) {
    const column = columns.find((each) => each.key === by);
    if (anew || (column?.live && performance.now() - settled > SETTLE && !held())) order();
    const last = Math.max(0, Math.ceil(ordered.length / page) - 1);
    at = Math.min(at, last);
    const found = ordered.slice(at * page, (at + 1) * page);
    while (shown.length < found.length) shown.push(row());
    while (shown.length > found.length) shown.pop().element.remove();
    found.forEach((each, index) => shown[index].fill(each));
    nothing.hidden = found.length > 0;
    frame.hidden = found.length === 0;
    text(where, ordered.length ? `${at * page + 1}–${at * page + found.length} of ${ordered.length}` : "0");
    pager.hidden = last === 0;
    back.disabled = at === 0;
    on.disabled = at === last;
  }

  function row() {
    const cells = columns.map((column, index) => {
      const inner = column.link ? h("a", {}) : document.createTextNode("");
      const cell = h(index ? "td" : "th", {class: column.number && "number", scope: !index && "row"}, inner);
      return {cell, inner};
    });
    const element = h("tr", {}, cells.map((each) => each.cell));
    body.append(element);
    return {element, fill(of) {
      columns.forEach((column, index) => {
        const {cell, inner} = cells[index];
        if (column.part) {
          const part = column.part(of);
          if (cell.firstChild !== part) replace(cell, part);
          return;
        }
        text(inner, column.show(of));
        if (column.link) {
          const to = column.link(of);
          if (inner.getAttribute("href") !== to) inner.setAttribute("href", to);
        }
        if (column.mark) {
          const mark = `${column.number ? "number " : ""}${column.mark(of)}`;
          if (cell.className !== mark) cell.className = mark;
        }
      });
    }};
  }

  return {element, draw};
}
