// Plots of connections and members over time.

import { maxAge } from "./series.js";

const keys = ["connections", "presenceMembers"];

/** Returns the smallest round number that is at least n. */
function roundUp(n) {
  const power = 10 ** Math.floor(Math.log10(Math.max(n, 1)));
  return [1, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= n);
}

/** Draws a series as a step plot into an svg element. Returns the maximum of the y axis and the length of the x axis in ms. */
export function draw(svg, { samples }) {
  const now = Date.now();
  // The x axis grows from 15 seconds to maxAge.
  const length = Math.min(maxAge, Math.max(15e3, now - (samples[0]?.time ?? now)));
  const start = now - length;
  const top = roundUp(Math.max(2, ...samples.flatMap((sample) => keys.map((key) => sample[key]))));
  const x = (time) => ((Math.max(time, start) - start) / length) * 1000;
  const y = (n) => 100 - (n / top) * 98;

  const paths = keys.flatMap((key) => {
    if (!samples.length) return [];
    let line = `M${x(samples[0].time).toFixed(1)} ${y(samples[0][key]).toFixed(1)}`;
    for (const sample of samples.slice(1)) line += `H${x(sample.time).toFixed(1)}V${y(sample[key]).toFixed(1)}`;
    line += "H1000";
    return [
      { class: `${key} area`, d: `${line}V100H${x(samples[0].time).toFixed(1)}Z` },
      { class: `${key} line`, d: line },
    ];
  });
  svg.setAttribute("viewBox", "0 0 1000 100");
  while (svg.children.length < paths.length) svg.append(document.createElementNS("http://www.w3.org/2000/svg", "path"));
  while (svg.children.length > paths.length) svg.lastChild.remove();
  paths.forEach((path, i) => {
    for (const [name, value] of Object.entries(path)) svg.children[i].setAttribute(name, value);
  });
  return { top, length };
}
