// The picture of one series: the end of its history, the forecast and its intervals.

import { numberTicks, offsetOf, position, shown, stampTicks, writerOf } from "./scales.js";

const NS = "http://www.w3.org/2000/svg";
const FEW = 45;
const TOP = 12;
const RIGHT = 16;
const BOTTOM = 42;

/** Return an SVG element; children that are text become text, never markup. */
export function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Return the intervals among the columns of a forecast, the widest first: their columns and names. */
export function intervalsOf(row) {
  return Object.keys(row)
    .filter((name) => name.startsWith("y-lo-") && name.replace("-lo-", "-hi-") in row)
    .map((low) => ({ low, high: low.replace("-lo-", "-hi-"), percent: Number(low.slice(5)) }))
    .sort((a, b) => b.percent - a.percent)
    .map((interval) => ({ ...interval, label: `${interval.percent}\u00a0% interval` }));
}

/** Draw a series, and draw it anew whenever the width of its place changes. Returns a function that ends this. */
export function showChart(place, series, label) {
  let width = 0;
  const watcher = new ResizeObserver(() => {
    const now = Math.floor(place.clientWidth);
    if (now > 0 && now !== width) {
      width = now;
      const focused = place.contains(document.activeElement);
      place.replaceChildren(...drawn(series, width, label));
      // Whoever reads it by keys goes on where they were.
      if (focused) place.querySelector("svg").focus();
    }
  });
  watcher.observe(place);
  return () => watcher.disconnect();
}

function drawn(series, width, label) {
  const plot = layout(series, width);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${plot.height}`, height: plot.height, role: "img", tabindex: 0 });
  picture.setAttribute("aria-label", label);
  picture.append(...axes(plot), ...lines(plot));
  const readout = document.createElement("div");
  readout.className = "readout";
  readout.setAttribute("role", "status");
  readout.hidden = true;
  follow(picture, readout, plot);
  return [picture, readout];
}

/** Return the points in pixels, and what belongs to the axes. */
function layout(series, width) {
  const height = Math.round(Math.min(420, Math.max(240, width * 0.48)));
  const dated = typeof series.forecast[0].ds !== "number";
  const offset = dated ? offsetOf(series.forecast[0].ds) : 0;
  const at = (row) => position(row.ds, offset);
  const intervals = intervalsOf(series.forecast[0]);
  const columns = ["y", ...intervals.flatMap(({ low, high }) => [low, high])];
  const values = [...series.history.map((row) => row.y), ...series.forecast.flatMap((row) => columns.map((name) => row[name]))];
  const [low, high] = domain(values.filter((value) => value !== null && value !== undefined));
  const rows = [...series.history, ...series.forecast];
  const [first, last] = [at(rows[0]), at(rows[rows.length - 1])];
  const valueTicks = numberTicks(low, high, Math.max(3, Math.floor(height / 45)));
  const left = 14 + 7 * Math.max(...valueTicks.map((tick) => tick.text.length), 1);
  const span = last - first || 1;
  const x = (row) => left + ((at(row) - first) / span) * (width - left - RIGHT);
  const y = (value) => TOP + ((high - value) / (high - low)) * (height - TOP - BOTTOM);
  const toX = (tick) => left + ((tick - first) / span) * (width - left - RIGHT);
  const timeTicks = stampTicks(first, last, Math.max(2, Math.floor((width - left - RIGHT) / 84)), dated);
  return { width, height, left, x, y, toX, valueTicks, timeTicks, intervals, write: writerOf(values), ...series };
}

function domain(values) {
  if (!values.length) return [0, 1];
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  const room = (high - low) * 0.06 || Math.abs(high) * 0.1 || 1;
  return [low - room, high + room];
}

function axes({ width, height, left, y, toX, valueTicks, timeTicks }) {
  const floor = height - BOTTOM;
  const made = [];
  for (const { at, text } of valueTicks) {
    made.push(svg("line", { class: "gridline", x1: left, x2: width - RIGHT, y1: y(at), y2: y(at) }));
    made.push(svg("text", { x: left - 8, y: y(at) + 4, "text-anchor": "end" }, text));
  }
  made.push(svg("line", { class: "axis", x1: left, x2: width - RIGHT, y1: floor, y2: floor }));
  for (const { at, text } of timeTicks) {
    const x = toX(at);
    made.push(svg("line", { class: "tick", x1: x, x2: x, y1: floor, y2: floor + 4 }));
    [text].flat().forEach((line, i) => {
      made.push(svg("text", { x, y: floor + 18 + 15 * i, "text-anchor": "middle" }, line));
    });
  }
  return made;
}

const seen = (value) => value !== null && value !== undefined;
const point = (x, y) => `${x.toFixed(1)} ${y.toFixed(1)}`;

function lines(plot) {
  const { x, y, history, forecast, intervals, height } = plot;
  const last = history[history.length - 1];
  // From the last observation on, so that a horizon of one step is a line too.
  const start = last && seen(last.y) ? [last] : [];
  const made = intervals.map(({ low, high, label }) => {
    const rows = forecast.filter((row) => seen(row[low]) && seen(row[high]));
    const up = [...start.map((row) => point(x(row), y(row.y))), ...rows.map((row) => point(x(row), y(row[high])))];
    const down = rows.map((row) => point(x(row), y(row[low]))).reverse();
    return svg("path", { class: "band", d: `M${[...up, ...down].join("L")}Z` }, svg("title", {}, label));
  });
  if (last) made.push(svg("line", { class: "origin", x1: x(last), x2: x(last), y1: TOP, y2: height - BOTTOM }));
  made.push(svg("path", { class: "history", d: broken(history, plot) }));
  made.push(svg("path", { class: "forecast", d: broken([...start, ...forecast], plot) }));
  const few = history.length + forecast.length <= FEW;
  const dots = history.filter((row, i) => seen(row.y) && (few || alone(history, i)));
  for (const row of dots) made.push(svg("circle", { class: "dot", cx: x(row), cy: y(row.y), r: few ? 2.2 : 1.6 }));
  for (const row of few ? forecast.filter((row) => seen(row.y)) : []) {
    made.push(svg("circle", { class: "dot ahead", cx: x(row), cy: y(row.y), r: 2.6 }));
  }
  return made;
}

/** Return the path through rows, which begins anew behind each gap. */
function broken(rows, { x, y }) {
  let pen = "M";
  let path = "";
  for (const row of rows) {
    if (seen(row.y)) path += pen + point(x(row), y(row.y));
    pen = seen(row.y) ? "L" : "M";
  }
  return path;
}

const alone = (rows, i) => !seen(rows[i - 1]?.y) && !seen(rows[i + 1]?.y);

/** Tell what stands at the step nearest to the pointer, or where the arrow keys have gone. */
function follow(picture, readout, plot) {
  const rows = [...plot.history, ...plot.forecast];
  const places = rows.map(plot.x);
  const cursor = svg("line", { class: "cursor", y1: TOP, y2: plot.height - BOTTOM, visibility: "hidden" });
  const mark = svg("circle", { class: "dot", r: 4, visibility: "hidden" });
  picture.append(cursor, mark);
  let chosen = plot.history.length - 1;
  const tell = (number) => {
    chosen = Math.min(rows.length - 1, Math.max(0, number));
    const [row, at] = [rows[chosen], places[chosen]];
    const ahead = chosen >= plot.history.length;
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, at);
    cursor.setAttribute("visibility", "visible");
    mark.setAttribute("visibility", seen(row.y) ? "visible" : "hidden");
    mark.setAttribute("class", ahead ? "dot ahead" : "dot");
    mark.setAttribute("cx", at);
    mark.setAttribute("cy", seen(row.y) ? plot.y(row.y) : 0);
    readout.replaceChildren(...told(row, ahead ? plot.intervals : [], plot.write));
    readout.hidden = false;
    const room = readout.offsetWidth + 12;
    readout.style.left = `${at + room < plot.width ? at + 12 : Math.max(0, at - room)}px`;
  };
  const hide = () => {
    readout.hidden = true;
    for (const part of [cursor, mark]) part.setAttribute("visibility", "hidden");
  };
  picture.addEventListener("pointermove", (event) => tell(nearest(places, event.clientX - picture.getBoundingClientRect().left)));
  picture.addEventListener("pointerdown", (event) => tell(nearest(places, event.clientX - picture.getBoundingClientRect().left)));
  picture.addEventListener("pointerleave", hide);
  picture.addEventListener("blur", hide);
  picture.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -rows.length, End: rows.length }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    tell(chosen + step);
  });
}

function nearest(places, at) {
  let best = 0;
  for (let i = 1; i < places.length; i++) if (Math.abs(places[i] - at) < Math.abs(places[best] - at)) best = i;
  return best;
}

function told(row, intervals, write) {
  const bold = document.createElement("b");
  bold.textContent = seen(row.y) ? write(row.y) : "no value";
  const bounds = intervals.map(({ low, high, percent }) => `${percent}\u00a0%: ${write(row[low])} to ${write(row[high])}`);
  return [bold, ...[shown(row.ds), ...bounds.reverse()].map((text) => Object.assign(document.createElement("span"), { textContent: text }))];
}
