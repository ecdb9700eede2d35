// Plots as SVG: a line a reading over time, the normal range behind it.

import { formatDate, formatValue, judge } from "./observations.js";

const SVG = "http://www.w3.org/2000/svg";
const FRAME = { height: 260, left: 44, right: 10, top: 16, bottom: 34 };
const LABEL_WIDTH = 125;

/** A plot of all values of a test, `width` pixels wide, named by its title and description. */
export function plot(test, width) {
  const box = { ...FRAME, width };
  const scale = scales(test, box, [test.range?.low, test.range?.high]);
  const svg = element("svg", {
    viewBox: `0 0 ${box.width} ${box.height}`,
    role: "img",
    "aria-labelledby": "plot-title plot-about",
  });
  svg.append(
    element("title", { id: "plot-title" }, `${test.name} over time`),
    element("desc", { id: "plot-about" }, describe(test)),
    ...band(test, scale),
    ...valueAxis(scale),
    ...timeAxis(test, scale),
  );
  test.latest.readings.forEach((_, index) => svg.append(series(test, scale, index)));
  return svg;
}

/** A tiny line for a table row; the row has the numbers. */
export function trend(test) {
  const box = { width: 112, height: 28, left: 3, right: 6, top: 5, bottom: 5 };
  const scale = scales(test, box, []);
  const points = pointsOf(test, 0);
  const [x, y] = place(points.at(-1), scale);
  const svg = element("svg", {
    class: "trend",
    viewBox: `0 0 ${box.width} ${box.height}`,
    "aria-hidden": "true",
  });
  svg.append(
    element("polyline", { class: "line", points: path(points, scale) }),
    element("circle", { class: "end", cx: x, cy: y, r: 3 }),
  );
  return svg;
}

function describe(test) {
  const [first, last] = [test.values[0], test.latest];
  return (
    `${test.values.length} values from ${formatDate(first.at)}, ${formatValue(first)}, ` +
    `to ${formatDate(last.at)}, ${formatValue(last)}. The table below has them all.`
  );
}

function series(test, scale, index) {
  const group = element("g", { class: `series-${(index % 4) + 1}` });
  const points = pointsOf(test, index);
  if (points.length > 1) {
    group.append(element("polyline", { class: "line", points: path(points, scale) }));
  }
  for (const point of points) {
    const [cx, cy] = place(point, scale);
    const dot = element("circle", { class: point.out ? "dot out" : "dot", cx, cy, r: 4.5 });
    dot.append(element("title", {}, `${formatDate(point.at)}: ${point.number} ${test.unit}`));
    group.append(dot);
  }
  return group;
}

function pointsOf(test, index) {
  return test.values
    .filter((value) => value.readings[index])
    .map((value) => ({
      at: value.at,
      number: value.readings[index].value,
      out: judge(value) !== "",
    }));
}

/** Functions from time and number to pixels, and the round numbers for the axis. */
function scales(test, box, limits) {
  const numbers = test.values.flatMap((value) => value.readings.map((reading) => reading.value));
  numbers.push(...limits.filter((limit) => limit !== undefined));
  const ticks = roundTicks(Math.min(...numbers), Math.max(...numbers));
  const [bottom, top] = [ticks[0], ticks.at(-1)];
  const start = test.values[0].at.getTime();
  const span = test.latest.at.getTime() - start;
  const width = box.width - box.left - box.right;
  const height = box.height - box.top - box.bottom;
  return {
    box,
    ticks,
    x: (at) => box.left + (span ? (at.getTime() - start) / span : 0.5) * width,
    y: (number) => box.top + ((top - number) / (top - bottom)) * height,
  };
}

function roundTicks(low, high) {
  const room = high - low || Math.abs(high) || 1;
  const rough = room / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const first = Math.floor((low - room * 0.06) / step);
  const last = Math.ceil((high + room * 0.06) / step);
  return Array.from({ length: last - first + 1 }, (_, index) =>
    Number(((first + index) * step).toPrecision(12)),
  );
}

function band(test, scale) {
  if (!test.range) {
    return [];
  }
  const top = scale.y(Math.min(test.range.high ?? Infinity, scale.ticks.at(-1)));
  const bottom = scale.y(Math.max(test.range.low ?? -Infinity, scale.ticks[0]));
  const { left, right, width } = scale.box;
  return [
    element("rect", { class: "band", x: left, y: top, width: width - left - right, height: bottom - top }),
  ];
}

function valueAxis(scale) {
  const { left, right, width } = scale.box;
  return scale.ticks.flatMap((number) => [
    element("line", { class: "grid-line", x1: left, x2: width - right, y1: scale.y(number), y2: scale.y(number) }),
    element("text", { class: "tick", x: left - 8, y: scale.y(number) + 4, "text-anchor": "end" }, String(number)),
  ]);
}

/** The first and the last date, and one between where there is room. */
function timeAxis(test, scale) {
  const dates = test.values.map((value) => value.at);
  const [first, last] = [dates[0], dates.at(-1)];
  if (first.getTime() === last.getTime()) {
    return [dateLabel(first, "middle", scale)];
  }
  const [start, end] = [scale.x(first), scale.x(last)];
  const centre = (start + end) / 2;
  const between = dates
    .filter((at) => scale.x(at) - start > LABEL_WIDTH && end - scale.x(at) > LABEL_WIDTH)
    .sort((a, b) => Math.abs(scale.x(a) - centre) - Math.abs(scale.x(b) - centre))
    .slice(0, 1);
  return [
    dateLabel(first, "start", scale),
    ...between.map((at) => dateLabel(at, "middle", scale)),
    dateLabel(last, "end", scale),
  ];
}

function dateLabel(at, anchor, scale) {
  const y = scale.box.height - scale.box.bottom + 22;
  return element("text", { class: "tick", x: scale.x(at), y, "text-anchor": anchor }, formatDate(at));
}

function place(point, scale) {
  return [scale.x(point.at), scale.y(point.number)].map((pixels) => pixels.toFixed(1));
}

function path(points, scale) {
  return points.map((point) => place(point, scale).join(",")).join(" ");
}

function element(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) {
    made.setAttribute(key, value);
  }
  if (text !== undefined) {
    made.textContent = text;
  }
  return made;
}
