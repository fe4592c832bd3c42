// Event source mappings, with how far behind they are.

import {h} from "./dom.js";
import {listen, mappings, queues} from "./feed.js";
import {count, rate, seconds, tail} from "./format.js";
import {table} from "./table.js";

/** A queue's waiting messages, or how old a stream's last record was, or how many a topic has that wait. */
function lag(mapping) {
  const {IteratorAge: age, OffsetLag: offset} = mapping.counts;
  if (offset !== undefined) return {value: offset, shown: `${count(offset)} records`};
  if (age !== undefined) return {value: age, shown: seconds(age / 1e3)};
  const queue = mapping.source.includes(":sqs:") ? queues.get(tail(mapping.source)) : null;
  if (queue) return {value: queue.ready, shown: `${count(queue.ready)} waiting`};
  return {value: -1, shown: "–"};
}

const number = (name) => (mapping) => mapping.counts[name] ?? 0;
const failed = (mapping) => number("FailedInvokeEventCount")(mapping) + number("DroppedEventCount")(mapping);

export function sources(box) {
  const listing = table("Event source mappings", [
    {key: "source", label: "Source", value: (m) => tail(m.source), show: (m) => tail(m.source)},
    {key: "function", label: "Function", value: (m) => m.function, show: (m) => m.function,
      link: (m) => `#/function/${encodeURIComponent(m.function)}/triggers`},
    {key: "state", label: "State", value: (m) => m.state, show: (m) => m.state,
      mark: (m) => (m.state === "Enabled" ? "good" : "soft")},
    {key: "lag", label: "Lag", value: (m) => lag(m).value, show: (m) => lag(m).shown, number: true, live: true},
    {key: "rate", label: "Records/s", value: (m) => m.rate, show: (m) => rate(m.rate), number: true, live: true},
    {key: "polled", label: "Polled", value: number("PolledEventCount"), show: (m) => count(number("PolledEventCount")(m)),
      number: true, live: true},
    {key: "invoked", label: "Invoked", value: number("InvokedEventCount"),
      show: (m) => count(number("InvokedEventCount")(m)), number: true, live: true},
    {key: "filtered", label: "Filtered", value: number("FilteredOutEventCount"),
      show: (m) => count(number("FilteredOutEventCount")(m)), number: true, live: true},
    {key: "failed", label: "Failed", value: failed, show: (m) => count(failed(m)), number: true, live: true,
      mark: (m) => (failed(m) ? "bad" : "")},
    {key: "batch", label: "Batch", value: (m) => m.batch ?? 0, show: (m) => m.batch ?? "–", number: true},
  ], {rows: () => mappings.values(), named: (m) => `${m.source} ${m.function} ${m.uuid}`, sort: "source",
    empty: "There is no event source mapping."});
  box.append(h("h1", {}, "Event source mappings"), listing.element);
  const draw = (lists) => listing.draw(lists.has("mappings"));
  draw(new Set(["mappings"]));
  return listen(draw);
}
