// The page: what the server tells of its model, data in, forecast out.

import { intervalsOf, showChart, svg } from "./chart.js";
import { shown, writerOf } from "./scales.js";

const find = (id) => document.getElementById(id);
const UNITS = { h: "hours", min: "minutes", s: "seconds", ms: "milliseconds", D: "days", B: "business days", W: "weeks" };
const ENDS = { MS: "months", ME: "months", BMS: "months", BME: "months", QS: "quarters", QE: "quarters", YS: "years", YE: "years" };
const MOST_HISTORY = 1000;

let token = "";
let model = null;
let file = null;
let answer = null;
let endChart = () => {};
let link = "";

/** Return an element; children that are text become text, never markup. */
function el(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function tellError(text) {
  const place = find("error");
  // What the server calls the request are the data to the one who sits here.
  const plain = text.replace(/^the request: /, "");
  place.textContent = plain.charAt(0).toUpperCase() + plain.slice(1);
  place.hidden = !text;
  find("result").classList.toggle("stale", Boolean(text));
  if (text) place.scrollIntoView({ block: "nearest" });
}

/** Ask the server, with the token where there is one; what it refuses becomes an Error in its words. */
async function ask(address, options = {}) {
  const headers = { accept: "application/json", ...options.headers, ...(token ? { authorization: `Bearer ${token}` } : {}) };
  let response;
  try {
    response = await fetch(address, { ...options, headers, cache: "no-store" });
  } catch {
    throw new Error("The server does not answer. Is it still running?");
  }
  const told = await response.json().catch(() => null);
  if (response.status === 401) {
    find("access").hidden = false;
    find("token").focus();
    throw new Error(token ? "The server does not take this token." : "The server answers only those who have its token.");
  }
  if (!response.ok) throw new Error(told?.error ?? `The server answered ${response.status} ${response.statusText}`);
  if (told === null) throw new Error("The server answered something that is no JSON.");
  return told;
}

function unitOf(frequency, count) {
  const [, times, alias] = /^(\d*)([A-Za-z]*)/.exec(frequency);
  const name = UNITS[alias] ?? ENDS[alias];
  if (!name) return count === 1 ? "step" : "steps";
  if (Number(times || 1) !== 1) return `steps of ${times} ${name}`;
  return count === 1 ? name.slice(0, -1) : name;
}

async function describe() {
  model = await ask("v1/forecast");
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
      el("dd", {}, column.needed ? column.meaning : `${column.meaning}; may be left out`),
    ]),
  );
  find("go").disabled = find("example").disabled = false;
}

async function forecast() {
  const body = file ?? find("data").value;
  if (!file && !body.trim()) return tellError("There are no data yet: paste rows, choose a file, or use the example.");
  const steps = Math.min(MOST_HISTORY, Math.max(4 * model.horizon, 3 * model.season, 60));
  find("go").disabled = true;
  find("busy").textContent = "Forecasting";
  try {
    // The server looks by itself whether this is CSV or JSON, and in which encoding.
    const type = file ? "application/octet-stream" : "text/plain; charset=utf-8";
    answer = await ask(`v1/forecast?history=${steps}`, { method: "POST", body, headers: { "content-type": type } });
    tellError("");
    showAnswer();
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

function showAnswer() {
  answer.series = bySeries(answer.forecast);
  answer.past = bySeries(answer.history ?? []);
  const names = [...answer.series.keys()];
  find("series").replaceChildren(...names.map((name) => el("option", { value: name }, name)));
  find("several").hidden = names.length < 2;
  find("notes").replaceChildren(...answer.notes.map((note) => el("li", {}, note)));
  find("empty").hidden = true;
  find("result").hidden = false;
  offerDownload();
  showSeries(names[0]);
  find("title").focus({ preventScroll: true });
  if (find("answer").getBoundingClientRect().top > window.innerHeight * 0.7) find("answer").scrollIntoView();
}

function showSeries(name) {
  const rows = answer.series.get(name);
  const intervals = intervalsOf(rows[0]);
  find("title").textContent = name;
  showLegend(intervals);
  const label = `${name}: forecast of ${rows.length} steps from ${shown(rows[0].ds)} to ${shown(rows[rows.length - 1].ds)}`;
  endChart();
  find("chart").replaceChildren();
  endChart = showChart(find("chart"), { history: answer.past.get(name) ?? [], forecast: rows }, label);
  showTable(rows, [...intervals].reverse());
}

function showLegend(intervals) {
  const key = (kind, text, d) => el("li", {}, svg("svg", { viewBox: "0 0 24 12", "aria-hidden": "true" }, ...d.map((path) => svg("path", { class: kind, d: path }))), text);
  // Bands lie upon one another in the chart, the widest at the bottom.
  const bands = intervals.map(({ label }, i) => key("band", label, Array(i + 1).fill("M0 0H24V12H0Z")));
  find("legend").replaceChildren(key("history", "history", ["M0 6H24"]), key("forecast", "forecast", ["M0 6H24"]), ...bands);
}

function showTable(rows, intervals) {
  const heads = ["", "forecast", ...intervals.flatMap(({ percent }) => [`${percent}\u00a0% from`, "to"])];
  const columns = ["y", ...intervals.flatMap(({ low, high }) => [low, high])];
  const head = el("thead", {}, el("tr", {}, ...heads.map((text) => el("th", { scope: "col" }, text))));
  const write = writerOf(rows.flatMap((row) => columns.map((name) => row[name])));
  // The whole number is in the title, and in the file.
  const cell = (value) => el("td", { title: value === null ? "" : String(value) }, write(value));
  const body = rows.map((row) => el("tr", {}, el("th", { scope: "row" }, shown(row.ds)), ...columns.map((name) => cell(row[name]))));
  find("table").replaceChildren(el("table", {}, head, el("tbody", {}, ...body)));
}

function offerDownload() {
  const columns = Object.keys(answer.forecast[0]);
  const quoted = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  const line = (row) => columns.map((name) => quoted(row[name] === null ? "" : String(row[name]))).join(",");
  const text = [columns.map(quoted).join(","), ...answer.forecast.map(line), ""].join("\n");
  if (link) URL.revokeObjectURL(link);
  link = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  find("download").href = link;
}

function takeFile(given) {
  file = given ?? null;
  find("file").hidden = !file;
  find("data").hidden = Boolean(file);
  find("file-name").textContent = file ? `${file.name}, ${sizeOf(file.size)}` : "";
  find("upload").value = "";
}

function sizeOf(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  return bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

const safely = (work) => work().catch((error) => tellError(error.message));

find("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  safely(forecast);
});
find("access").addEventListener("submit", (event) => {
  event.preventDefault();
  token = find("token").value.trim();
  safely(async () => {
    await describe();
    find("access").hidden = true;
    tellError("");
  });
});
find("example").addEventListener("click", () => {
  takeFile(null);
  find("data").value = model.example;
});
find("choose").addEventListener("click", () => find("upload").click());
find("upload").addEventListener("change", (event) => event.target.files[0] && takeFile(event.target.files[0]));
find("file-off").addEventListener("click", () => takeFile(null));
find("series").addEventListener("change", (event) => showSeries(event.target.value));
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files.length) takeFile(event.dataTransfer.files[0]);
  });
}
find("go").disabled = find("example").disabled = true;
safely(describe);
