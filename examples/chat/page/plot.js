// Plots of connections and members over time.

import { maxAge } from "./series.js";

const keys = ["connections", "presenceMembers"];

/** Returns the smallest round number that is at least n. */
function roundUp(n) {
  const power = 10 ** Math.floor(Math.log10(Math.max(n, 1)));
  return [1, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= n);
}

/** Draws a series as a step plot into an svg element, with a gap where nothing was known. Returns the maximum of the y axis and the length of the x axis in ms. */
export function draw(svg, { samples }) {
  const now = Date.now();
  // The x axis grows from 15 seconds to maxAge.
  const length = Math.min(maxAge, Math.max(15e3, now - (samples[0]?.time ?? now)));
  const start = now - length;
  const top = roundUp(samples.reduce((max, sample) => Math.max(max, ...keys.map((key) => sample[key] ?? 0)), 2));
  const x = (time) => (((Math.max(time, start) - start) / length) * 1000).toFixed(1);
  const y = (n) => (100 - (n / top) * 98).toFixed(1);

  const paths = keys.flatMap((key) => {
    let line = "";
    let area = "";
    let from; // the x coordinate at which the current line begins, or undefined in a gap
    const end = (to) => {
      if (from === undefined) return;
      line += `H${to}`;
      area += `H${to}V100H${from}Z`;
      from = undefined;
    };
    for (const sample of samples) {
      const at = x(sample.time);
      if (sample[key] === undefined) end(at);
      else {
        const step = from === undefined ? `M${at} ${y(sample[key])}` : `H${at}V${y(sample[key])}`;
        from ??= at;
        line += step;
        area += step;
      }
    }
    end(1000);
    return [{ class: `${key} area`, d: area }, { class: `${key} line`, d: line }];
  });
  svg.setAttribute("viewBox", "0 0 1000 100");
  while (svg.children.length < paths.length) svg.append(document.createElementNS("http://www.w3.org/2000/svg", "path"));
  paths.forEach((path, i) => {
    for (const [name, value] of Object.entries(path)) svg.children[i].setAttribute(name, value);
  });
  return { top, length };
}
