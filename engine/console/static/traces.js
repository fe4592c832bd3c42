// Traces: those of the last hours, and one of them as a waterfall.

import {call} from "./api.js";
import {button, h, loaded, replace} from "./dom.js";
import {clock, seconds} from "./format.js";
import {waterfall} from "./waterfall.js";

export function listed(box) {
  const filter = h("input", {id: "filter", type: "search", placeholder: "fault = true, responsetime > 1, service(\"name\")"});
  const span = h("select", {id: "span"}, [[15, "15 minutes"], [60, "1 hour"], [360, "6 hours"], [1440, "1 day"]].map(
    ([value, label]) => h("option", {value, selected: value === 60}, label)));
  const found = h("div", {});
  const look = () => {
    const now = Date.now(), members = {StartTime: new Date(now - span.value * 60_000).toISOString(),
      EndTime: new Date(now).toISOString(), ...(filter.value.trim() ? {FilterExpression: filter.value.trim()} : {})};
    return loaded(found, call("xray", "GetTraceSummaries", members), rows);
  };
  const form = h("form", {class: "bar", onsubmit: (event) => {
    event.preventDefault();
    look();
  }}, h("label", {for: "filter", class: "hidden"}, "Filter expression"), filter, h("label", {for: "span", class: "hidden"},
    "Time"), span, h("button", {}, "Find"));
  box.append(h("h1", {}, "Traces"), form, found);
  look();
  return () => {};
}

function rows({TraceSummaries: summaries, NextToken: more}) {
  if (!summaries.length) {
    return h("p", {class: "soft"}, "No trace was found. Functions with TracingConfig Mode=Active are traced, and requests "
      + "whose X-Amzn-Trace-Id says Sampled=1.");
  }
  const cells = (each) => [
    h("th", {scope: "row"}, h("a", {href: `#/trace/${encodeURIComponent(each.Id)}`}, each.Id)),
    h("td", {}, each.EntryPoint?.Name ?? ""), h("td", {}, clock(Date.parse(each.StartTime) || started(each.Id))),
    h("td", {class: "number"}, seconds(each.Duration ?? 0)), h("td", {class: "number"}, String(each.ServiceIds?.length ?? 0)),
    h("td", {}, each.HasFault ? h("span", {class: "tag bad"}, "fault") : each.HasError
      ? h("span", {class: "tag bad"}, each.HasThrottle ? "throttled" : "error") : h("span", {class: "tag good"}, "ok")),
  ];
  return [h("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": "Traces found"}, h("table", {},
    h("thead", {}, h("tr", {}, ["Trace", "Entry", "Began", "Duration", "Services", "Result"].map((each, index) =>
      h("th", {scope: "col", class: (index === 3 || index === 4) && "number"}, each)))),
    h("tbody", {}, summaries.map((each) => h("tr", {}, cells(each)))))),
  more && h("p", {class: "soft"}, "There are more: narrow the time, or filter.")];
}

const started = (id) => parseInt(id.split("-")[1] ?? "0", 16) * 1e3;

export function traced(box, [id]) {
  const inner = h("div", {});
  const look = () => loaded(inner, call("xray", "BatchGetTraces", {TraceIds: [id]}), ({Traces: found}) => {
    if (!found.length) return h("p", {class: "soft"}, "There is no such trace, or nothing of it is here yet.");
    return waterfall(found[0].Segments.map((each) => JSON.parse(each.Document)));
  });
  box.append(h("p", {class: "crumb"}, h("a", {href: "#/traces"}, "Traces"), " / "), h("h1", {class: "id"}, id),
    h("div", {class: "bar"}, button("Again", look, {class: "quiet"})), inner);
  look();
  return () => replace(inner);
}
