// The one stream of live data, and what it adds up to. Closed while nobody looks at the page.

import {address, post} from "./api.js";

const KEPT = 300; // seconds of the charts

export const functions = new Map(); // by id
export const queues = new Map(); // by name
export const mappings = new Map(); // by UUID
export const history = series();
export let running = 0;
export const status = {live: false, inflightBytes: 0};

let source = null, stream = "", group = "", busy = new Set(), onStatus = () => {}, watched = null;
const listeners = new Set();
const logListeners = new Set();

export function series() {
  return {at: [], rate: [], errors: [], throttles: [], cold: [], p50: [], p99: [], running: []};
}

export function push(into, at, row) {
  into.at.push(at);
  for (const name of Object.keys(row)) into[name].push(row[name]);
  if (into.at.length > KEPT) for (const name of Object.keys(into)) into[name].shift();
}

/** Calls `listener(lists)` after each second's data; lists: which of them were sent anew. Returns how to stop it. */
export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Keeps one function's history, from now on. */
export function watch(name) {
  watched = name === null ? null : {name, history: series()};
  return watched && watched.history;
}

export const named = (name) => [...functions.values()].find((each) => each.name === name);

/** The events of a log group as they come; "": of none. */
export function follow(wanted, listener) {
  group = wanted;
  logListeners.clear();
  if (listener) logListeners.add(listener);
  followed();
}

function followed() {
  if (stream) post("follow", {stream, group}).catch(() => {});
}

export function open(listener) {
  onStatus = listener;
  document.addEventListener("visibilitychange", () => (document.hidden ? close() : connect()));
  connect();
}

export function connect() {
  close();
  if (document.hidden) return;
  source = new EventSource(`console/${address("events")}`);
  source.addEventListener("hello", (event) => {
    stream = JSON.parse(event.data).stream;
    if (group) followed();
  });
  source.addEventListener("snapshot", (event) => snapshot(JSON.parse(event.data)));
  source.addEventListener("frame", (event) => frame(JSON.parse(event.data)));
  source.addEventListener("logs", (event) => {
    const found = JSON.parse(event.data);
    if (found.group === group) for (const each of logListeners) each(found);
  });
  source.onerror = () => say(false, source && source.readyState === EventSource.CLOSED);
}

export function close() {
  if (source) source.close();
  source = null;
  stream = "";
}

function say(live, ended = false) {
  status.live = live;
  onStatus(live, ended);
}

function snapshot(found) {
  functions.clear();
  queues.clear();
  mappings.clear();
  busy = new Set();
  running = 0;
  lists(found.lists);
  for (const [id, total, errors, throttles, cold] of found.totals) {
    Object.assign(one(id), {total, errors, throttles, cold});
  }
  for (const [id, number] of found.running) {
    one(id).running = number;
    running += number;
  }
  rest(found);
  say(true);
  tell(new Set(["functions", "queues", "mappings"]));
}

function lists(found) {
  if (found.functions) {
    const there = new Set();
    for (const [id, name, runtime, memory, timeout, description] of found.functions) {
      Object.assign(one(id), {name, runtime, memory, timeout, description});
      there.add(id);
    }
    for (const id of [...functions.keys()]) if (!there.has(id)) functions.delete(id);
  }
  if (found.queues) merge(queues, found.queues, "name", {ready: 0, leased: 0, delayed: 0});
  if (found.mappings) merge(mappings, found.mappings, "uuid", {counts: {}, rate: 0});
}

function merge(into, found, key, fresh) {
  const there = new Set(found.map((each) => each[key]));
  for (const each of found) into.set(each[key], {...fresh, ...into.get(each[key]), ...each});
  for (const each of [...into.keys()]) if (!there.has(each)) into.delete(each);
}

function one(id) {
  let found = functions.get(id);
  if (!found) {
    found = {id, name: "", total: 0, errors: 0, throttles: 0, cold: 0, rate: 0, failing: 0, p50: null, p99: null,
      running: 0};
    functions.set(id, found);
  }
  return found;
}

function rest(found) {
  for (const [name, ready, leased, delayed] of found.queues || []) {
    const queue = queues.get(name);
    if (queue) Object.assign(queue, {ready, leased, delayed});
  }
  for (const [uuid, counts] of found.mappings || []) {
    const mapping = mappings.get(uuid);
    if (!mapping) continue;
    const before = mapping.counts.InvokedEventCount;
    mapping.rate = before === undefined ? 0 : (counts.InvokedEventCount || 0) - before;
    mapping.counts = counts;
    mapping.fresh = true;
  }
  for (const mapping of mappings.values()) {
    if (!mapping.fresh) mapping.rate = 0;
    mapping.fresh = false;
  }
  status.inflightBytes = found.inflightBytes || 0;
}

function frame(found) {
  if (found.lists) lists(found.lists);
  const took = Math.max(0.1, found.seconds), now = new Set();
  let invocations = 0, errors = 0, throttles = 0, cold = 0, seen = null;
  for (const [id, n, failed, refused, starts, p50, p99, runs] of found.functions) {
    const each = functions.get(id);
    if (!each) continue;
    running += runs - each.running;
    each.total += n; each.errors += failed; each.throttles += refused; each.cold += starts;
    each.rate = n / took; each.failing = failed / took; each.running = runs;
    if (n) { each.p50 = p50; each.p99 = p99; }
    invocations += n; errors += failed; throttles += refused; cold += starts;
    now.add(id);
    if (watched && each.name === watched.name) {
      seen = {rate: n / took, errors: failed / took, throttles: refused / took, cold: starts, p50: n ? p50 / 1e3 : null,
        p99: n ? p99 / 1e3 : null, running: runs};
    }
  }
  for (const id of busy) {
    const each = now.has(id) ? null : functions.get(id);
    if (each) { each.rate = 0; each.failing = 0; }
  }
  busy = now;
  rest(found);
  const active = invocations > 0;
  push(history, found.at, {rate: invocations / took, errors: errors / took, throttles: throttles / took, cold,
    p50: active ? found.all[0] / 1e3 : null, p99: active ? found.all[1] / 1e3 : null, running});
  if (watched) {
    const of = named(watched.name);
    push(watched.history, found.at, seen || {rate: 0, errors: 0, throttles: 0, cold: 0, p50: null, p99: null,
      running: of ? of.running : 0});
  }
  if (!status.live) say(true);
  tell(new Set(Object.keys(found.lists || {})));
}

function tell(which) {
  for (const listener of listeners) listener(which);
}
