// A function's configuration, its versions and aliases, and what invokes it.

import {call, optional} from "./api.js";
import {h, loaded} from "./dom.js";
import {bytes, tail} from "./format.js";

function members(rows) {
  return h("dl", {class: "members"}, rows.filter(([, value]) => value !== undefined && value !== null && value !== "")
    .map(([label, value]) => h("div", {}, h("dt", {}, label), h("dd", {}, value))));
}

const json = (value) => h("pre", {class: "json", tabindex: 0}, JSON.stringify(value, null, 2));

export function configuration(inner, name) {
  const wanted = Promise.all([call("lambda", "GetFunction", {FunctionName: name}),
    optional(call("lambda", "ListFunctionEventInvokeConfigs", {FunctionName: name}), {})]);
  loaded(inner, wanted, ([found, events]) => {
    const c = found.Configuration, reserved = found.Concurrency?.ReservedConcurrentExecutions;
    const variables = Object.entries(c.Environment?.Variables ?? {});
    return [h("h2", {}, "Configuration"), members([
      ["ARN", c.FunctionArn], ["Description", c.Description], ["Runtime", c.Runtime], ["Handler", c.Handler],
      ["Memory", `${c.MemorySize} MB`], ["Timeout", `${c.Timeout} s`], ["Package", bytes(c.CodeSize)],
      ["State", c.State], ["Last update", c.LastUpdateStatus], ["Modified", c.LastModified], ["Role", c.Role],
      ["Reserved concurrency", reserved === undefined ? "" : String(reserved)],
      ["Log group", c.LoggingConfig?.LogGroup], ["Log format", c.LoggingConfig?.LogFormat],
      ["Tracing", c.TracingConfig?.Mode], ["Dead letters", c.DeadLetterConfig?.TargetArn],
      ["Layers", (c.Layers ?? []).map((each) => each.Arn).join(", ")], ["SHA-256", c.CodeSha256],
    ]),
    variables.length > 0 && [h("h3", {}, "Environment"), h("div", {class: "scroll", tabindex: 0, role: "region",
      "aria-label": "Environment"}, h("table", {}, h("thead", {}, h("tr", {}, h("th", {scope: "col"}, "Variable"),
      h("th", {scope: "col"}, "Value"))), h("tbody", {}, variables.map(([key, value]) =>
      h("tr", {}, h("th", {scope: "row"}, key), h("td", {}, secret(key, value)))))))],
    events.FunctionEventInvokeConfigs?.length > 0 && [h("h3", {}, "Asynchronous invocation"),
      json(events.FunctionEventInvokeConfigs)]];
  });
}

/** A value is shown when it is asked for. */
function secret(key, value) {
  const show = h("button", {type: "button", class: "quiet", "aria-label": `Show ${key}`, onclick: () => {
    show.replaceWith(value);
  }}, "Show");
  return show;
}

export function versions(inner, name) {
  const wanted = Promise.all([call("lambda", "ListVersionsByFunction", {FunctionName: name}),
    call("lambda", "ListAliases", {FunctionName: name})]);
  loaded(inner, wanted, ([{Versions: found}, {Aliases: aliases}]) => [h("h2", {}, "Versions"),
    h("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": "Versions"}, h("table", {},
      h("thead", {}, h("tr", {}, ["Version", "Aliases", "Runtime", "Memory", "Modified", "Description"].map((each) =>
        h("th", {scope: "col"}, each)))),
      h("tbody", {}, found.map((each) => h("tr", {}, h("th", {scope: "row"}, each.Version),
        h("td", {}, aliases.filter((alias) => meant(alias, each.Version) > 0).map((alias) =>
          h("span", {class: "tag"}, alias.Name, share(alias, each.Version)))),
        h("td", {}, each.Runtime ?? ""), h("td", {}, `${each.MemorySize} MB`), h("td", {}, each.LastModified),
        h("td", {}, each.Description ?? "")))))),
  ]);
}

function meant(alias, version) {
  const others = alias.RoutingConfig?.AdditionalVersionWeights ?? {};
  if (alias.FunctionVersion === version) return 1 - Object.values(others).reduce((a, b) => a + b, 0);
  return others[version] ?? 0;
}

function share(alias, version) {
  const part = meant(alias, version);
  return part < 1 ? ` ${Math.round(part * 100)} %` : "";
}

export function triggers(inner, name) {
  const none = {FunctionUrlConfigs: [], EventSourceMappings: []};
  const wanted = Promise.all([call("lambda", "ListEventSourceMappings", {FunctionName: name}),
    optional(call("lambda", "ListFunctionUrlConfigs", {FunctionName: name}), none),
    optional(call("lambda", "GetPolicy", {FunctionName: name}), null)]);
  loaded(inner, wanted, ([mappings, urls, policy]) => {
    const statements = policy ? JSON.parse(policy.Policy).Statement : [];
    return [h("h2", {}, "Triggers"),
      h("h3", {}, "Event source mappings"), mappings.EventSourceMappings.length ? h("ul", {class: "plain"},
        mappings.EventSourceMappings.map((each) => h("li", {}, h("span", {class: "tag"}, each.State), " ",
          each.EventSourceArn ?? JSON.stringify(each.SelfManagedEventSource ?? {}), ` · batch ${each.BatchSize}`)))
        : h("p", {class: "soft"}, "None."),
      h("h3", {}, "Function URLs"), urls.FunctionUrlConfigs.length ? h("ul", {class: "plain"},
        urls.FunctionUrlConfigs.map((each) => h("li", {}, h("span", {class: "tag"}, each.AuthType), " ", each.FunctionUrl)))
        : h("p", {class: "soft"}, "None."),
      h("h3", {}, "Who may invoke it"), statements.length ? h("ul", {class: "plain"}, statements.map((each) => h("li", {},
        h("span", {class: "tag"}, principal(each.Principal)), " ", String(each.Action), " ", source(each))))
        : h("p", {class: "soft"}, "Its policy names nobody.")];
  });
}

function principal(value) {
  if (typeof value === "string") return value;
  return Object.values(value ?? {}).flat().join(", ");
}

function source(statement) {
  const conditions = Object.values(statement.Condition ?? {}).flatMap((each) => Object.values(each));
  return conditions.map((each) => tail(String(each))).join(", ");
}
