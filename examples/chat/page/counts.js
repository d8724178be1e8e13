// The stream of counts, and the history of the counts that the page shows. The page requests the
// counts from before it was opened.

import { connect } from "/occupancy/rooms.js";

export const { rooms, connection } = connect("/occupancy");

/** The state of the stream. */
export const stream = {
  isCurrent: false, // whether the shown counts are those of this moment
  onChange: () => {}, // called after each change; set by app.js
};

const settleTime = 200; // ms in which all counts arrive after the stream has been opened
let settling;
connection.onStatusChange((status) => {
  if (status === "live") settling ??= setTimeout(setCurrent, settleTime, true);
  else {
    settling = clearTimeout(settling);
    setCurrent(false);
  }
});

function setCurrent(isCurrent) {
  stream.isCurrent = isCurrent;
  stream.onChange();
}

const maxRooms = 50; // in one request for the history

export const maxAge = 5 * 60e3; // of samples, in ms

/**
 * The counts of a room in the last minutes, or without a name those of all rooms together: a list of
 * samples, the oldest first. A sample without counts means that from then on nothing was known.
 */
export class Series {
  samples = []; // { time, connections, presenceMembers, nodes }

  constructor(name) {
    this.name = name;
  }

  get isKnown() {
    return this.samples.at(-1)?.connections !== undefined;
  }

  push(sample) {
    const { samples } = this;
    if (samples.at(-1)?.time === sample.time) samples.pop(); // keep one sample per millisecond
    samples.push(sample);
    // Keep one older sample, because its counts are still valid at the start of the plot.
    const first = samples.findIndex(({ time }) => time > sample.time - maxAge);
    if (first > 1) samples.splice(0, first - 1);
  }

  /**
   * Adds counts, unless the stream is not current. After a gap, it also requests the counts before. nodes
   * are the connections by node, if they are known.
   */
  add({ connections, presenceMembers }, nodes) {
    if (!stream.isCurrent) return;
    if (!this.isKnown) requestHistory(this);
    const { time, ...latest } = this.samples.at(-1) ?? {};
    const counts = { connections, presenceMembers, nodes };
    if (JSON.stringify(counts) !== JSON.stringify(latest)) this.push({ time: Date.now(), ...counts });
  }

  /** Ends the plot here, because the counts are not known any more. */
  lose() {
    if (this.isKnown) this.push({ time: Date.now() });
  }

  /** Adds what the server has recorded: a list of [age in ms, connections, presence members, connections by node]. */
  merge(history = []) {
    const now = Date.now();
    const recorded = history.map(([age, connections, presenceMembers, nodes]) => ({ time: now - age, connections, presenceMembers, nodes }));
    if (!recorded.length) return;
    const newest = this.samples.findLastIndex((sample) => sample.connections === undefined) + 1; // after the last gap
    const end = this.samples[newest]?.time ?? now;
    this.samples = [
      ...this.samples.slice(0, newest).filter(({ time }) => time < recorded[0].time),
      ...recorded.filter(({ time }) => time < end),
      ...this.samples.slice(newest),
    ];
  }
}

let waiting; // the series whose history is requested soon

function requestHistory(series) {
  if (!waiting) {
    waiting = [];
    setTimeout(fetchHistory);
  }
  waiting.push(series);
}

async function fetchHistory() {
  const all = waiting;
  waiting = undefined;
  while (all.length) {
    const some = all.splice(0, maxRooms);
    try {
      const history = await fetchJSON(`history?${new URLSearchParams(some.filter(({ name }) => name).map(({ name }) => ["room", name]))}`);
      for (const series of some) if (series.isKnown) series.merge(series.name ? history.rooms[series.name] : history.totals);
    } catch {
      // Without the history, the plots begin at the time when the page was opened.
    }
  }
}

/** Requests JSON from the server. */
export async function fetchJSON(path) {
  const response = await fetch(path, { signal: AbortSignal.timeout(5e3) });
  if (!response.ok) throw new Error(response.statusText);
  return response.json();
}

const delays = []; // { time, delay }: of the counts that were drawn in the last minute, in ms
let shownAt = 0; // when the page was shown or hidden for the last time; a hidden page is not drawn
addEventListener("visibilitychange", () => (shownAt = Date.now()));

/** Measures the time from the publication of a count until the browser has drawn what the page changes now. */
export function measure(publishedAt) {
  if (publishedAt === undefined || document.hidden) return;
  requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      const time = Date.now();
      if (shownAt < publishedAt) delays.push({ time, delay: Math.max(0, time - publishedAt) });
      port1.close();
    };
    port2.postMessage(undefined); // arrives after the frame was drawn
  });
}

/** Returns the time in ms in which this part of the counts was drawn in the last minute, or undefined. */
export function latency(part) {
  const recent = Date.now() - 60e3;
  while (delays[0]?.time < recent) delays.shift();
  return delays.map(({ delay }) => delay).sort((a, b) => a - b)[Math.floor(delays.length * part)];
}
