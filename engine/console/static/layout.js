// A layered layout: who feeds others stands left of them, and rows are put in order so that few lines cross. Pure.

const SWEEPS = 8;

/** nodes: [[id, …]]; edges: [[from, to, …]]. Returns columns of ids, and by id its column. */
export function layered(nodes, edges) {
  const ids = nodes.map(([id]) => id), known = new Set(ids);
  const out = new Map(ids.map((id) => [id, []])), into = new Map(ids.map((id) => [id, []]));
  for (const [from, to] of edges) {
    if (!known.has(from) || !known.has(to) || from === to) continue;
    out.get(from).push(to);
    into.get(to).push(from);
  }
  const depth = depths(ids, out, into);
  const columns = [];
  for (const id of ids) (columns[depth.get(id)] ??= []).push(id);
  for (let index = 0; index < columns.length; index++) columns[index] ??= [];
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const forward = sweep % 2 === 0;
    const order = forward ? columns : [...columns].reverse();
    const place = new Map(columns.flatMap((column) => column.map((id, row) => [id, (row + 0.5) / column.length])));
    for (const column of order.slice(1)) {
      const middle = new Map(column.map((id) => {
        const beside = (forward ? into : out).get(id);
        const mean = beside.reduce((sum, each) => sum + place.get(each), 0) / beside.length;
        return [id, beside.length ? mean : place.get(id)];
      }));
      column.sort((a, b) => middle.get(a) - middle.get(b));
      column.forEach((id, row) => place.set(id, (row + 0.5) / column.length));
    }
  }
  return {columns, depth};
}

/** The longest way to each from one that nobody feeds; what closes a circle does not count. */
function depths(ids, out, into) {
  const depth = new Map(), open = new Set();
  const visit = (id) => {
    if (depth.has(id)) return depth.get(id);
    if (open.has(id)) return -1;
    open.add(id);
    const found = 1 + Math.max(-1, ...into.get(id).map(visit));
    open.delete(id);
    depth.set(id, found);
    return found;
  };
  const starts = ids.filter((id) => into.get(id).length === 0);
  for (const id of [...starts, ...ids]) visit(id);
  // What only feeds stands beside what it feeds, not at the far left.
  for (const id of starts) {
    const next = out.get(id).map((each) => depth.get(each));
    if (next.length) depth.set(id, Math.max(0, Math.min(...next) - 1));
  }
  return depth;
}
