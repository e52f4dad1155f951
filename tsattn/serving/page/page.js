// The page: describes the model, sends data and shows the forecast.

import { el } from "./elements.js";
import { intervalsOf, showChart, svg } from "./chart.js";
import { formatTime, makeFormatter } from "./scales.js";

const find = (id) => document.getElementById(id);
const UNITS = { h: "hours", min: "minutes", s: "seconds", ms: "milliseconds", D: "days", B: "business days", W: "weeks" };
const ENDS = { MS: "months", ME: "months", BMS: "months", BME: "months", QS: "quarters", QE: "quarters", YS: "years", YE: "years" };
const MAX_HISTORY = 1000;

let token = "";
let model = null;
let file = null;
let result = null;
let endChart = () => {};
let link = "";

function showError(text) {
  const place = find("error");
  // The server names the data "the request", which means nothing to users of the page.
  const plain = text.replace(/^the request: /, "");
  place.textContent = plain.charAt(0).toUpperCase() + plain.slice(1);
  place.hidden = !text;
  find("result").classList.toggle("stale", Boolean(text));
  if (text) place.scrollIntoView({ block: "nearest" });
}

/** Send a request, with the token if there is one. Errors have the message of the server. */
async function send(address, options = {}) {
  const headers = { accept: "application/json", ...options.headers, ...(token ? { authorization: `Bearer ${token}` } : {}) };
  let response;
  try {
    response = await fetch(address, { ...options, headers, cache: "no-store" });
  } catch {
    throw new Error("The server does not respond. Is it still running?");
  }
  const body = await response.json().catch(() => null);
  if (response.status === 401) {
    find("access").hidden = false;
    find("token").focus();
    throw new Error(token ? "The server does not accept this token." : "The server requires a token.");
  }
  if (!response.ok) throw new Error(body?.error ?? `The server responded with ${response.status} ${response.statusText}`);
  if (body === null) throw new Error("The response of the server is not JSON.");
  return body;
}

function unitOf(frequency, count) {
  const [, times, alias] = /^(\d*)([A-Za-z]*)/.exec(frequency);
  const name = UNITS[alias] ?? ENDS[alias];
  if (!name) return count === 1 ? "step" : "steps";
  if (Number(times || 1) !== 1) return `steps of ${times} ${name}`;
  return count === 1 ? name.slice(0, -1) : name;
}

async function describe() {
  model = await send("v1/forecast");
  document.title = `${model.model}: forecast`;
  find("model").textContent = model.model;
  const levels = model.levels.filter((level) => level < 0.5).map((level) => `${Math.round(1000 * (1 - 2 * level)) / 10}\u00a0%`);
  const steps = model.horizon === 1 ? "the next" : `the next ${model.horizon}`;
  const targets = model.targets.length > 6 ? `${model.targets.length} channels` : model.targets.join(", ");
  const sentences = [
    `Forecasts ${steps} ${unitOf(model.frequency, model.horizon)} of ${targets}`,
    levels.length ? `, with ${levels.reverse().join(" and ")} intervals.` : ".",
    model.time_zone ? ` Times are in ${model.time_zone}.` : "",
    ` Model ${model.architecture}, version ${model.version}.`,
  ];
  find("about").textContent = sentences.join("");
  find("columns").replaceChildren(
    ...model.columns.flatMap((column) => [
      el("dt", {}, column.or ? `${column.name} or ${column.or}` : column.name),
      el("dd", {}, column.needed ? column.meaning : `${column.meaning} (optional)`),
    ]),
  );
  const access = token ? " -H 'Authorization: Bearer TOKEN'" : "";
  find("curl").textContent = `curl -H 'Content-Type: text/csv'${access} --data-binary @data.csv ${new URL("v1/forecast", location.href)}`;
  find("go").disabled = find("example").disabled = false;
}

async function forecast() {
  const body = file ?? find("data").value;
  if (!file && !body.trim()) return showError("There are no data yet. Paste rows, choose a file, or use the example.");
  const steps = Math.min(MAX_HISTORY, Math.max(4 * model.horizon, 3 * model.season, 60));
  find("go").disabled = true;
  find("busy").textContent = "Forecasting …";
  try {
    // With these types the server detects CSV or JSON and the encoding.
    const type = file ? "application/octet-stream" : "text/plain; charset=utf-8";
    result = await send(`v1/forecast?history=${steps}`, { method: "POST", body, headers: { "content-type": type } });
    showError("");
    showResult();
  } finally {
    find("go").disabled = false;
    find("busy").textContent = "";
  }
}

function bySeries(rows) {
  const groups = new Map();
  for (const row of rows) {
    if (!groups.has(row.unique_id)) groups.set(row.unique_id, []);
    groups.get(row.unique_id).push(row);
  }
  return groups;
}

function showResult() {
  result.series = bySeries(result.forecast);
  result.past = bySeries(result.history ?? []);
  const names = [...result.series.keys()];
  find("series").replaceChildren(...names.map((name) => el("option", { value: name }, name)));
  find("several").hidden = names.length < 2;
  find("notes").replaceChildren(...result.notes.map((note) => el("li", {}, note)));
  find("empty").hidden = true;
  find("result").hidden = false;
  offerDownload();
  showSeries(names[0]);
  find("title").focus({ preventScroll: true });
  if (find("response").getBoundingClientRect().top > window.innerHeight * 0.7) find("response").scrollIntoView();
}

function showSeries(name) {
  const rows = result.series.get(name);
  const intervals = intervalsOf(rows[0]);
  find("title").textContent = name;
  showLegend(intervals);
  const label = `${name}: forecast of ${rows.length} steps from ${formatTime(rows[0].ds)} to ${formatTime(rows[rows.length - 1].ds)}`;
  endChart();
  find("chart").replaceChildren();
  endChart = showChart(find("chart"), { history: result.past.get(name) ?? [], forecast: rows }, label);
  showTable(rows, [...intervals].reverse());
}

function showLegend(intervals) {
  const key = (kind, text, d) => el("li", {}, svg("svg", { viewBox: "0 0 24 12", "aria-hidden": "true" }, ...d.map((path) => svg("path", { class: kind, d: path }))), text);
  // The bands overlap in the chart, the widest at the bottom.
  const bands = intervals.map(({ label }, i) => key("band", label, Array(i + 1).fill("M0 0H24V12H0Z")));
  find("legend").replaceChildren(key("history", "history", ["M0 6H24"]), key("forecast", "forecast", ["M0 6H24"]), ...bands);
}

function showTable(rows, intervals) {
  const titles = ["", "forecast", ...intervals.flatMap(({ percent }) => [`${percent}\u00a0% from`, "to"])];
  const columns = ["y", ...intervals.flatMap(({ low, high }) => [low, high])];
  const head = el("thead", {}, el("tr", {}, ...titles.map((text) => el("th", { scope: "col" }, text))));
  const format = makeFormatter(rows.flatMap((row) => columns.map((name) => row[name])));
  // The title and the file have all digits.
  const cell = (value) => el("td", { title: value === null ? "" : String(value) }, format(value));
  const body = rows.map((row) => el("tr", {}, el("th", { scope: "row" }, formatTime(row.ds)), ...columns.map((name) => cell(row[name]))));
  find("table").replaceChildren(el("table", {}, head, el("tbody", {}, ...body)));
}

function offerDownload() {
  const columns = Object.keys(result.forecast[0]);
  const quoted = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  const line = (row) => columns.map((name) => quoted(row[name] === null ? "" : String(row[name]))).join(",");
  const text = [columns.map(quoted).join(","), ...result.forecast.map(line), ""].join("\n");
  if (link) URL.revokeObjectURL(link);
  link = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  find("download").href = link;
}

function setFile(selected) {
  file = selected ?? null;
  find("file").hidden = !file;
  find("data").hidden = Boolean(file);
  find("file-name").textContent = file ? `${file.name}, ${sizeOf(file.size)}` : "";
  find("upload").value = "";
}

function sizeOf(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  return bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

const run = (task) => task().catch((error) => showError(error.message));

find("request").addEventListener("submit", (event) => {
  event.preventDefault();
  run(forecast);
});
find("access").addEventListener("submit", (event) => {
  event.preventDefault();
  token = find("token").value.trim();
  run(async () => {
    await describe();
    find("access").hidden = true;
    showError("");
  });
});
find("example").addEventListener("click", () => {
  setFile(null);
  find("data").value = model.example;
});
find("choose").addEventListener("click", () => find("upload").click());
find("upload").addEventListener("change", (event) => event.target.files[0] && setFile(event.target.files[0]));
find("file-off").addEventListener("click", () => setFile(null));
find("series").addEventListener("change", (event) => showSeries(event.target.value));
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files.length) setFile(event.dataTransfer.files[0]);
  });
}
find("go").disabled = find("example").disabled = true;
run(describe);
