// Queues with what waits in them; dead letters, and their way back.

import {call} from "./api.js";
import {button, h, replace} from "./dom.js";
import {listen, queues} from "./feed.js";
import {count, pretty, tail} from "./format.js";
import {table} from "./table.js";

const dead = (queue) => queue.sources.length > 0;

export function queued(box) {
  const actions = new Map();
  const letters = h("section", {class: "letters", "aria-live": "polite"});
  const listing = table("Queues", [
    {key: "name", label: "Queue", value: (q) => q.name, show: (q) => q.name},
    {key: "ready", label: "Waiting", value: (q) => q.ready, show: (q) => count(q.ready), number: true, live: true,
      mark: (q) => (dead(q) && q.ready ? "bad" : "")},
    {key: "leased", label: "In flight", value: (q) => q.leased, show: (q) => count(q.leased), number: true, live: true},
    {key: "delayed", label: "Delayed", value: (q) => q.delayed, show: (q) => count(q.delayed), number: true, live: true},
    {key: "dead", label: "Dead letters go to", value: (q) => q.dead, show: (q) => (q.dead
      ? `${tail(q.dead)} after ${q.receives}` : "–")},
    {key: "sources", label: "Dead letters of", value: (q) => q.sources.join(", "), show: (q) => q.sources.join(", ") || "–"},
    {key: "actions", label: "Actions", part: (q) => of(q)},
  ], {rows: () => queues.values(), named: (q) => q.name, sort: "name", empty: "There is no queue."});
  box.append(h("h1", {}, "Queues"), listing.element, letters);

  function of(queue) {
    const key = `${queue.name} ${dead(queue)}`;
    if (!actions.has(key)) actions.set(key, dead(queue) ? h("span", {class: "acts"}, look(queue), redrive(queue)) : h("span"));
    return actions.get(key);
  }

  function look(queue) {
    return button("Look", async () => {
      const address = `${location.origin}/${queue.arn.split(":")[4]}/${queue.name}`;
      const found = await call("sqs", "ReceiveMessage", {QueueUrl: address, MaxNumberOfMessages: 10, VisibilityTimeout: 0,
        MessageAttributeNames: ["All"], MessageSystemAttributeNames: ["All"]});
      const messages = found.Messages ?? [];
      replace(letters, h("h2", {}, `Dead letters in ${queue.name}`), h("p", {class: "soft"},
        "Some of those that wait; each look counts as a receive."),
      messages.length ? messages.map((each) => h("article", {class: "card"},
        h("p", {class: "soft"}, each.MessageId, ` · received ${each.Attributes?.ApproximateReceiveCount ?? "?"} times`),
        h("pre", {class: "json", tabindex: 0}, pretty(each.Body)))) : h("p", {}, "Nothing waits in it."));
    }, {class: "quiet", "aria-label": `Look into ${queue.name}`});
  }

  function redrive(queue) {
    return button("Redrive", async () => {
      await call("sqs", "StartMessageMoveTask", {SourceArn: queue.arn});
      return "under way";
    }, {"aria-label": `Redrive ${queue.name}`});
  }

  const draw = (lists) => listing.draw(lists.has("queues"));
  draw(new Set(["queues"]));
  return listen(draw);
}
