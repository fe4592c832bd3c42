// A test event, sent to the function; and what it returned.

import {call, test} from "./api.js";
import {button, h, replace} from "./dom.js";
import {duration, pretty} from "./format.js";

const kept = (name) => `stoker-event ${name}`;

export function trial(inner, name) {
  const event = h("textarea", {id: "event", rows: 12, spellcheck: "false"});
  event.value = localStorage.getItem(kept(name)) ?? "{\n  \"key\": \"value\"\n}";
  const which = h("select", {id: "which"}, h("option", {value: ""}, "$LATEST"));
  const result = h("div", {class: "result", "aria-live": "polite"});
  const send = button("Invoke", async () => {
    JSON.parse(event.value);
    localStorage.setItem(kept(name), event.value);
    const found = await test({function: name, qualifier: which.value || null, event: event.value});
    replace(result, h("p", {}, h("span", {class: found.failed ? "tag bad" : "tag good"}, found.failed ? "Failed" : "Succeeded"),
      ` version ${found.version} in ${duration(Math.round(found.ms * 1e3))}`),
    h("h3", {}, "Response"), h("pre", {class: "json", tabindex: 0}, pretty(found.payload)),
    h("h3", {}, "Log"), h("pre", {class: "json", tabindex: 0}, found.log), h("p", {class: "soft"}, found.requestId));
  }, {class: "main"});
  inner.append(h("h2", {}, "Test"), h("div", {class: "trial"}, h("div", {},
    h("label", {for: "event"}, "Event, in JSON"), event, h("div", {class: "row"}, h("label", {for: "which"}, "Version"), which,
      send)), result));
  Promise.all([call("lambda", "ListVersionsByFunction", {FunctionName: name}), call("lambda", "ListAliases",
    {FunctionName: name})]).then(([versions, aliases]) => {
    const names = [...aliases.Aliases.map((each) => each.Name), ...versions.Versions.map((each) => each.Version)];
    which.append(...names.filter((each) => each !== "$LATEST").map((each) => h("option", {value: each}, each)));
  }).catch(() => {});
}
