// Plots of connections and members over time.

import { maxAge } from "./counts.js";

const format = new Intl.NumberFormat();

/** Returns the smallest round number that is at least n. */
function roundUp(n) {
  const power = 10 ** Math.floor(Math.log10(Math.max(n, 1)));
  return [1, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= n);
}

/**
 * Returns the line and the area of a step plot, with a gap where nothing was known. value returns the
 * bottom and the top of the area at a sample, or undefined if it is that of the previous sample.
 */
function steps(samples, value, x, y) {
  let line = "";
  let area = "";
  let points = []; // [x, bottom, top], since the last gap
  const end = (right) => {
    if (!points.length) return;
    const [[left, , first]] = points;
    let edge = `M${left} ${y(first)}`;
    for (const [at, , top] of points.slice(1)) edge += `H${at}V${y(top)}`;
    edge += `H${right}`;
    line += edge;
    area += edge;
    for (const [at, bottom] of points.toReversed()) area += `V${y(bottom)}H${at}`;
    area += "Z";
    points = [];
  };
  for (const sample of samples) {
    if (sample.connections === undefined) end(x(sample.time));
    else {
      const range = value(sample);
      if (range) points.push([x(sample.time), ...range]);
    }
  }
  end(1000);
  return { line, area };
}

/** Returns the areas of the nodes' connections, one above the other. */
function bands(samples, names, x, y) {
  return names.map((_, i) => {
    const sum = (nodes, n) => names.slice(0, n).reduce((sum, name) => sum + (nodes[name] ?? 0), 0);
    return steps(samples, ({ nodes }) => nodes && [sum(nodes, i), sum(nodes, i + 1)], x, y).area;
  });
}

/**
 * Draws a series into an svg element, with a band for each of these nodes. If the svg is in a figure, its caption
 * shows the maximum of the y axis and the start of the x axis.
 */
export function draw(svg, { samples }, nodes = []) {
  const now = Date.now();
  // The x axis grows from 15 seconds to maxAge.
  const length = Math.min(maxAge, Math.max(15e3, now - (samples[0]?.time ?? now)));
  const top = roundUp(samples.reduce((max, { connections = 0, presenceMembers = 0 }) => Math.max(max, connections, presenceMembers), 2));
  const x = (time) => ((Math.max(0, time - now + length) / length) * 1000).toFixed(1);
  const y = (n) => (100 - (n / top) * 98).toFixed(1);

  const connections = steps(samples, (sample) => [0, sample.connections], x, y);
  const members = steps(samples, (sample) => [0, sample.presenceMembers], x, y);
  const areas = nodes.length
    ? bands(samples, nodes, x, y).map((d, i) => ({ class: `node${i % 6} area`, d }))
    : [{ class: "connections area", d: connections.area }, { class: "members area", d: members.area }];
  const paths = [...areas, { class: "connections line", d: connections.line }, { class: "members line", d: members.line }];

  svg.setAttribute("viewBox", "0 0 1000 100");
  while (svg.children.length > paths.length) svg.lastChild.remove();
  while (svg.children.length < paths.length) svg.append(document.createElementNS("http://www.w3.org/2000/svg", "path"));
  paths.forEach((path, i) => {
    for (const [name, value] of Object.entries(path)) svg.children[i].setAttribute(name, value);
  });

  const caption = svg.nextElementSibling;
  if (caption?.tagName !== "FIGCAPTION") return;
  caption.querySelector(".top").textContent = format.format(top);
  caption.querySelector(".from").textContent = length < 90e3 ? `${Math.round(length / 1e3)} s ago` : `${Math.round(length / 60e3)} min ago`;
}
