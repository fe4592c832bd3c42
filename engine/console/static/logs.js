// A function's log as it grows.

import {call, optional} from "./api.js";
import {h, text} from "./dom.js";
import {follow} from "./feed.js";
import {clock} from "./format.js";

const KEPT = 1000; // lines
const PAST = 100;

export function logs(inner, name) {
  let wanted = "", paused = false;
  const lines = h("div", {class: "log", tabindex: 0, role: "log", "aria-label": `Log of ${name}`});
  const note = h("span", {class: "soft", role: "status"});
  const search = h("input", {type: "search", placeholder: "Filter", "aria-label": "Filter lines", oninput: () => {
    wanted = search.value.toLowerCase();
    for (const each of lines.children) each.hidden = !matches(each);
  }});
  const pause = h("button", {type: "button", class: "quiet", "aria-pressed": "false", onclick: () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    text(pause, paused ? "Go on" : "Pause");
  }}, "Pause");
  const clear = h("button", {type: "button", class: "quiet", onclick: () => lines.replaceChildren()}, "Clear");
  inner.append(h("h2", {}, "Logs"), h("div", {class: "bar"}, search, pause, clear, note), lines);
  const matches = (each) => !wanted || each.textContent.toLowerCase().includes(wanted);

  function add(events) {
    const low = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 40;
    for (const [at, , message] of events.slice(-KEPT)) {
      const kind = /\b(ERROR|Traceback|Task timed out|Runtime\.\w+)\b/.test(message) ? "line bad"
        : /^(START|END|REPORT|INIT_START) /.test(message) ? "line soft" : "line";
      const line = h("div", {class: kind}, h("time", {}, clock(at)), " ", message.replace(/\n$/, ""));
      line.hidden = !matches(line);
      lines.append(line);
    }
    while (lines.children.length > KEPT) lines.firstChild.remove();
    if (low) lines.scrollTop = lines.scrollHeight;
  }

  let ended = false;
  call("lambda", "GetFunction", {FunctionName: name}).then(async ({Configuration}) => {
    const group = Configuration.LoggingConfig?.LogGroup ?? `/aws/lambda/${name}`;
    if (ended) return;
    follow(group, (found) => {
      if (!paused) add(found.events);
      text(note, found.sampled ? "more was logged than is shown" : "");
    });
    const end = Date.now();
    const found = await optional(call("logs", "FilterLogEvents", {logGroupName: group, startTime: end - 600_000,
      limit: 10_000}), {events: []});
    const past = found.events.filter((each) => each.timestamp <= end).slice(-PAST);
    if (!ended) add(past.map((each) => [each.timestamp, each.logStreamName, each.message]));
    if (!past.length) text(note, "Nothing in the last ten minutes. What comes is shown here.");
  }).catch((error) => text(note, error.message));
  return () => {
    ended = true;
    follow("", null);
  };
}
