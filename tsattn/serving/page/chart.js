// The chart of one series: the end of its history, the forecast and its intervals.

import { formatTime, makeFormatter, makeNumberTicks, makeTimeTicks, offsetOf, position } from "./scales.js";

const NS = "http://www.w3.org/2000/svg";
const MAX_DOTS = 45;
const TOP = 12;
const RIGHT = 16;
const BOTTOM = 42;

/** Return an SVG element; strings as children become text, never markup. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(NS, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Return the columns and labels of the intervals of a forecast, the widest first. */
export function intervalsOf(row) {
  return Object.keys(row)
    .filter((name) => name.startsWith("y-lo-") && name.replace("-lo-", "-hi-") in row)
    .map((low) => ({ low, high: low.replace("-lo-", "-hi-"), percent: Number(low.slice(5)) }))
    .sort((a, b) => b.percent - a.percent)
    .map((interval) => ({ ...interval, label: `${interval.percent}\u00a0% interval` }));
}

/** Draw a series, again whenever the width of its container changes. Returns a function that stops this. */
export function showChart(container, series, label) {
  let width = 0;
  const observer = new ResizeObserver(() => {
    const now = Math.floor(container.clientWidth);
    if (now > 0 && now !== width) {
      width = now;
      const focused = container.contains(document.activeElement);
      container.replaceChildren(...draw(series, width, label));
      // Keyboard users keep the focus.
      if (focused) container.querySelector("svg").focus();
    }
  });
  observer.observe(container);
  return () => observer.disconnect();
}

function draw(series, width, label) {
  const plot = layout(series, width);
  const picture = svg("svg", { viewBox: `0 0 ${width} ${plot.height}`, height: plot.height, role: "img", tabindex: 0 });
  picture.setAttribute("aria-label", label);
  picture.append(...axes(plot), ...lines(plot));
  const readout = document.createElement("div");
  readout.className = "readout";
  readout.setAttribute("role", "status");
  readout.hidden = true;
  addReadout(picture, readout, plot);
  return [picture, readout];
}

/** Return the scales, ticks and intervals of the chart. */
function layout(series, width) {
  const height = Math.round(Math.min(420, Math.max(240, width * 0.48)));
  const hasDates = typeof series.forecast[0].ds !== "number";
  const offset = hasDates ? offsetOf(series.forecast[0].ds) : 0;
  const at = (row) => position(row.ds, offset);
  const intervals = intervalsOf(series.forecast[0]);
  const columns = ["y", ...intervals.flatMap(({ low, high }) => [low, high])];
  const values = [...series.history.map((row) => row.y), ...series.forecast.flatMap((row) => columns.map((name) => row[name]))];
  const [low, high] = domain(values.filter((value) => value !== null && value !== undefined));
  const rows = [...series.history, ...series.forecast];
  const [first, last] = [at(rows[0]), at(rows[rows.length - 1])];
  const valueTicks = makeNumberTicks(low, high, Math.max(3, Math.floor(height / 45)));
  const left = 14 + 7 * Math.max(...valueTicks.map((tick) => tick.text.length), 1);
  const span = last - first || 1;
  const x = (row) => left + ((at(row) - first) / span) * (width - left - RIGHT);
  const y = (value) => TOP + ((high - value) / (high - low)) * (height - TOP - BOTTOM);
  const toX = (tick) => left + ((tick - first) / span) * (width - left - RIGHT);
  const timeTicks = makeTimeTicks(first, last, Math.max(2, Math.floor((width - left - RIGHT) / 84)), hasDates);
  return { width, height, left, x, y, toX, valueTicks, timeTicks, intervals, format: makeFormatter(values), ...series };
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
  const elements = [];
  for (const { at, text } of valueTicks) {
    elements.push(svg("line", { class: "gridline", x1: left, x2: width - RIGHT, y1: y(at), y2: y(at) }));
    elements.push(svg("text", { x: left - 8, y: y(at) + 4, "text-anchor": "end" }, text));
  }
  elements.push(svg("line", { class: "axis", x1: left, x2: width - RIGHT, y1: floor, y2: floor }));
  for (const { at, text } of timeTicks) {
    const x = toX(at);
    elements.push(svg("line", { class: "tick", x1: x, x2: x, y1: floor, y2: floor + 4 }));
    [text].flat().forEach((line, i) => {
      elements.push(svg("text", { x, y: floor + 18 + 15 * i, "text-anchor": "middle" }, line));
    });
  }
  return elements;
}

const isPresent = (value) => value !== null && value !== undefined;
const point = (x, y) => `${x.toFixed(1)} ${y.toFixed(1)}`;

function lines(plot) {
  const { x, y, history, forecast, intervals, height } = plot;
  const last = history[history.length - 1];
  // From the last observation, so that a horizon of one step is a line as well.
  const start = last && isPresent(last.y) ? [last] : [];
  const elements = intervals.map(({ low, high, label }) => {
    const rows = forecast.filter((row) => isPresent(row[low]) && isPresent(row[high]));
    const up = [...start.map((row) => point(x(row), y(row.y))), ...rows.map((row) => point(x(row), y(row[high])))];
    const down = rows.map((row) => point(x(row), y(row[low]))).reverse();
    return svg("path", { class: "band", d: `M${[...up, ...down].join("L")}Z` }, svg("title", {}, label));
  });
  if (last) elements.push(svg("line", { class: "origin", x1: x(last), x2: x(last), y1: TOP, y2: height - BOTTOM }));
  elements.push(svg("path", { class: "history", d: gappedPath(history, plot) }));
  elements.push(svg("path", { class: "forecast", d: gappedPath([...start, ...forecast], plot) }));
  const few = history.length + forecast.length <= MAX_DOTS;
  const dots = history.filter((row, i) => isPresent(row.y) && (few || isIsolated(history, i)));
  for (const row of dots) elements.push(svg("circle", { class: "dot", cx: x(row), cy: y(row.y), r: few ? 2.2 : 1.6 }));
  for (const row of few ? forecast.filter((row) => isPresent(row.y)) : []) {
    elements.push(svg("circle", { class: "dot ahead", cx: x(row), cy: y(row.y), r: 2.6 }));
  }
  return elements;
}

/** Return the path through rows, with a new segment after each gap. */
function gappedPath(rows, { x, y }) {
  let pen = "M";
  let path = "";
  for (const row of rows) {
    if (isPresent(row.y)) path += pen + point(x(row), y(row.y));
    pen = isPresent(row.y) ? "L" : "M";
  }
  return path;
}

const isIsolated = (rows, i) => !isPresent(rows[i - 1]?.y) && !isPresent(rows[i + 1]?.y);

/** Show the values of the step nearest to the pointer, or of the step that the arrow keys select. */
function addReadout(picture, readout, plot) {
  const rows = [...plot.history, ...plot.forecast];
  const positions = rows.map(plot.x);
  const cursor = svg("line", { class: "cursor", y1: TOP, y2: plot.height - BOTTOM, visibility: "hidden" });
  const mark = svg("circle", { class: "dot", r: 4, visibility: "hidden" });
  picture.append(cursor, mark);
  let selected = plot.history.length - 1;
  const show = (number) => {
    selected = Math.min(rows.length - 1, Math.max(0, number));
    const [row, at] = [rows[selected], positions[selected]];
    const isForecast = selected >= plot.history.length;
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, at);
    cursor.setAttribute("visibility", "visible");
    mark.setAttribute("visibility", isPresent(row.y) ? "visible" : "hidden");
    mark.setAttribute("class", isForecast ? "dot ahead" : "dot");
    mark.setAttribute("cx", at);
    mark.setAttribute("cy", isPresent(row.y) ? plot.y(row.y) : 0);
    readout.replaceChildren(...readoutLines(row, isForecast ? plot.intervals : [], plot.format));
    readout.hidden = false;
    const room = readout.offsetWidth + 12;
    readout.style.left = `${at + room < plot.width ? at + 12 : Math.max(0, at - room)}px`;
  };
  const hide = () => {
    readout.hidden = true;
    for (const part of [cursor, mark]) part.setAttribute("visibility", "hidden");
  };
  picture.addEventListener("pointermove", (event) => show(nearest(positions, event.clientX - picture.getBoundingClientRect().left)));
  picture.addEventListener("pointerdown", (event) => show(nearest(positions, event.clientX - picture.getBoundingClientRect().left)));
  picture.addEventListener("pointerleave", hide);
  picture.addEventListener("blur", hide);
  picture.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -rows.length, End: rows.length }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    show(selected + step);
  });
}

function nearest(positions, at) {
  let best = 0;
  for (let i = 1; i < positions.length; i++) if (Math.abs(positions[i] - at) < Math.abs(positions[best] - at)) best = i;
  return best;
}

function readoutLines(row, intervals, format) {
  const bold = document.createElement("b");
  bold.textContent = isPresent(row.y) ? format(row.y) : "no value";
  const bounds = intervals.map(({ low, high, percent }) => `${percent}\u00a0%: ${format(row[low])} to ${format(row[high])}`);
  return [bold, ...[formatTime(row.ds), ...bounds.reverse()].map((text) => Object.assign(document.createElement("span"), { textContent: text }))];
}
