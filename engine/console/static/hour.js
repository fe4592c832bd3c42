// A function's last hour, by the minute, from CloudWatch's metrics.

import {call} from "./api.js";
import {chart} from "./charts.js";
import {h, replace} from "./dom.js";
import {rate, seconds} from "./format.js";

const WANTED = [["invocations", "Invocations", "Sum"], ["errors", "Errors", "Sum"], ["p50", "Duration", "p50"],
  ["p99", "Duration", "p99"]];

export function hour(box, name) {
  let charts = [];
  const show = async () => {
    const end = Math.floor(Date.now() / 1000) + 60, start = end - 3660;
    const queries = WANTED.map(([id, metric, statistic]) => ({Id: id, MetricStat: {Period: 60, Stat: statistic, Metric: {
      Namespace: "AWS/Lambda", MetricName: metric, Dimensions: [{Name: "FunctionName", Value: name}]}}}));
    const found = await call("cloudwatch", "GetMetricData", {MetricDataQueries: queries,
      StartTime: new Date(start * 1e3).toISOString(), EndTime: new Date(end * 1e3).toISOString()});
    const past = {at: [], invocations: [], errors: [], p50: [], p99: []};
    for (let at = Math.ceil(start / 60) * 60; at < end; at += 60) past.at.push(at);
    for (const [id] of WANTED) {
      const result = found.MetricDataResults.find((each) => each.Id === id);
      const values = new Map(result.Timestamps.map((each, index) => [Date.parse(each) / 1e3, result.Values[index]]));
      past[id] = past.at.map((at) => values.get(at) ?? (id.startsWith("p") ? null : 0));
    }
    if (!box.isConnected) return;
    const ms = (value) => seconds(value / 1e3);
    charts = [chart("Invocations/min", past, [
      {name: "invocations", label: "invocations", colour: "blue", show: rate, fill: true},
      {name: "errors", label: "errors", colour: "red", show: rate}], 0),
    chart("Duration in ms", past, [{name: "p99", label: "p99", colour: "violet", show: ms},
      {name: "p50", label: "p50", colour: "green", show: ms}], 0)];
    replace(box, charts.map((each) => each.element));
    for (const each of charts) each.draw();
  };
  show().catch((error) => replace(box, h("p", {class: "soft"}, error.message)));
  return () => { for (const each of charts) each.end(); };
}
