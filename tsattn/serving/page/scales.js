// Ticks and labels of numeric axes and time axes.

const MINUTE = 60e3;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

// Distances between time ticks: [unit, number of units, approximate length in milliseconds].
const STEPS = [
  ...[1, 2, 5, 10, 15, 30].map((n) => ["ms", n * 1e3, n * 1e3]),
  ...[1, 2, 5, 10, 15, 30].map((n) => ["ms", n * MINUTE, n * MINUTE]),
  ...[1, 2, 3, 6, 12].map((n) => ["ms", n * HOUR, n * HOUR]),
  ...[1, 2, 4, 7, 14].map((n) => ["ms", n * DAY, n * DAY]),
  ...[1, 2, 3, 6].map((n) => ["month", n, n * 30.44 * DAY]),
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].map((n) => ["month", 12 * n, n * 365.25 * DAY]),
];

const ISO = /^([+-]?\d{4,6})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?)?(Z|[+-]\d\d:\d\d)?$/;

/** Return the UTC offset of a timestamp in milliseconds; 0 without one. */
export function offsetOf(time) {
  const [, sign, hours, minutes] = /([+-])(\d\d):(\d\d)$/.exec(/\d:\d\d/.test(time) ? time : "") || [];
  return sign ? Number(`${sign}1`) * (Number(hours) * HOUR + Number(minutes) * MINUTE) : 0;
}

/**
 * Return the position of a timestamp: an integer as it is, otherwise local time in milliseconds, treated as UTC.
 * A fixed `offset` for all timestamps avoids repeated hours at daylight saving transitions.
 */
export function position(time, offset = offsetOf(time)) {
  if (typeof time === "number") return time;
  const found = ISO.exec(time);
  if (!found) return NaN;
  const [year, month, day, hour, minute, second] = found.slice(1, 7).map((part) => Number(part || 0));
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  date.setUTCHours(hour, minute, second, Math.floor(Number(found[7] || 0) * 1000));
  return date.getTime() - offsetOf(time) + offset;
}

/** Return about `count` ticks at round numbers in a range. */
export function makeNumberTicks(low, high, count) {
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= raw * 0.999) || 10 * power;
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  const ticks = [];
  for (let i = first; i <= last && ticks.length < 50; i++) ticks.push({ at: i * step + 0 });
  const format = makeTickFormatter(step, Math.max(Math.abs(low), Math.abs(high)));
  return ticks.map((tick) => ({ ...tick, text: format(tick.at) }));
}

function makeTickFormatter(step, largest) {
  if (largest >= 1e7 && largest < 1e15) {
    const [unit, name] = [[1e12, " T"], [1e9, " G"], [1e6, " M"]].find(([size]) => largest >= size);
    const digits = decimals(step / unit);
    return (value) => grouped(value / unit, digits) + name;
  }
  if (largest >= 1e15 || largest < 1e-5) return (value) => (value ? value.toExponential(1) : "0");
  const digits = decimals(step);
  return (value) => grouped(value, digits);
}

function decimals(step) {
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return Math.min(20, Math.abs(step * 10 ** digits - Math.round(step * 10 ** digits)) > 1e-6 ? digits + 1 : digits);
}

function grouped(value, digits) {
  return Number(value).toLocaleString("en-GB", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Return ticks of a time axis: dates, or integers. */
export function makeTimeTicks(low, high, count, hasDates) {
  if (!hasDates) return makeNumberTicks(low, high, count).filter((tick) => Number.isInteger(tick.at));
  const wanted = (high - low) / count;
  const [unit, size, about] = STEPS.find((step) => step[2] >= wanted) || STEPS[STEPS.length - 1];
  const ticks = unit === "ms" ? evenTicks(low, high, size) : monthTicks(low, high, size);
  return ticks.map((at, i) => ({ at, text: timeLabel(at, about, i === 0 ? null : ticks[i - 1]) }));
}

function evenTicks(low, high, size) {
  const ticks = [];
  // Weeks begin on Monday; 1 January 1970 was a Thursday.
  const shift = size % (7 * DAY) === 0 ? 4 * DAY : 0;
  for (let at = Math.ceil((low - shift) / size) * size + shift; at <= high; at += size) ticks.push(at);
  return ticks;
}

function monthTicks(low, high, size) {
  const ticks = [];
  const start = new Date(low);
  let month = Math.floor((start.getUTCFullYear() * 12 + start.getUTCMonth()) / size) * size;
  for (; ticks.length < 100; month += size) {
    const date = new Date(0);
    date.setUTCFullYear(Math.floor(month / 12), month % 12, 1);
    if (date.getTime() > high) break;
    if (date.getTime() >= low) ticks.push(date.getTime());
  }
  return ticks;
}

/** Return the label of a time tick: the parts of the date that differ from the previous tick. */
function timeLabel(at, about, before) {
  const date = new Date(at);
  const old = before === null ? null : new Date(before);
  const year = String(date.getUTCFullYear());
  if (about >= 360 * DAY) return [year];
  const newYear = !old || old.getUTCFullYear() !== date.getUTCFullYear();
  if (about >= 28 * DAY) return [MONTHS[date.getUTCMonth()], newYear ? year : ""];
  const day = `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}`;
  if (about >= DAY) return [day, newYear ? year : ""];
  const newDay = !old || Math.floor(before / DAY) !== Math.floor(at / DAY);
  const time = date.toISOString().slice(11, about < MINUTE ? 19 : 16);
  return [time, newDay ? day : ""];
}

/** Return a function that formats numbers, with the same number of decimals for all values. */
export function makeFormatter(values) {
  const size = Math.max(...values.filter(Number.isFinite).map(Math.abs), 0);
  const digits = size > 0 ? Math.max(0, 4 - Math.floor(Math.log10(size))) : 0;
  const plain = size === 0 || (size >= 1e-4 && size < 1e12);
  return (value) => {
    if (value === null || value === undefined) return "–";
    return plain ? grouped(value, digits) : value.toExponential(3);
  };
}

/** Return a timestamp for display: a space instead of the T, and no seconds if they are 0. */
export function formatTime(time) {
  return String(time).replace("T", " ").replace(/(:\d\d):00(?=$|[+-]\d\d:\d\d$)/, "$1");
}
