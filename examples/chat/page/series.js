// The counts of each room in the last minutes. The page receives the counts of all rooms on
// one occupancy stream, and requests the counts from before it was opened.

import { connect } from "/occupancy/occupancy.js";

const { rooms, connection } = connect("/occupancy");
const seriesByRoom = new Map();
const settleTime = 200; // ms in which the counts of all rooms arrive after the stream has been opened
const maxRooms = 50; // in one request for the history

export const maxAge = 5 * 60e3; // of samples, in ms

/** A list of samples, the oldest first. A sample without counts means that from then on nothing was known. */
export class Series {
  samples = []; // { time, connections, presenceMembers, users }
  listeners = new Set();

  get latest() {
    return this.samples.at(-1);
  }

  get isKnown() {
    return this.latest?.connections !== undefined;
  }

  push(sample) {
    if (this.latest?.time === sample.time) this.samples.pop(); // keep one sample per millisecond
    this.samples.push(sample);
    // Keep one older sample, because its counts are still valid at the start of the plot.
    const first = this.samples.findIndex(({ time }) => time > sample.time - maxAge);
    if (first > 1) this.samples.splice(0, first - 1);
  }

  add({ connections, presenceMembers, users }) {
    this.push({ time: Date.now(), connections, presenceMembers, users });
    for (const { update } of this.listeners) update(this.latest);
  }

  /** Ends the plot here, because the counts are not known any more. */
  lose() {
    if (this.isKnown) this.push({ time: Date.now() });
  }

  /** Adds what the server has recorded: a list of [age in ms, connections, presence members]. */
  merge(history) {
    if (!history?.length) return;
    const now = Date.now();
    const recorded = history.map(([age, connections, presenceMembers]) => ({ time: now - age, connections, presenceMembers }));
    const newest = this.samples.findLastIndex((sample) => sample.connections === undefined) + 1; // after the last gap
    const end = this.samples[newest]?.time ?? now;
    this.samples = [
      ...this.samples.slice(0, newest).filter(({ time }) => time < recorded[0].time),
      ...recorded.filter(({ time }) => time < end),
      ...this.samples.slice(newest),
    ];
  }
}

/** The state of the stream. */
export const stream = {
  isCurrent: false, // whether the shown counts are those of this moment
  get reasons() {
    return connection.stale ? connection.reasons : [];
  },
  onChange: () => {}, // called after each change; set by app.js
};

let settling;
connection.onStatusChange((status) => {
  if (status === "live") {
    if (!stream.isCurrent) settling ??= setTimeout(resume, settleTime);
  } else {
    settling = clearTimeout(settling);
    stream.isCurrent = false;
    for (const series of seriesByRoom.values()) series.lose();
  }
  stream.onChange();
});

/** Continues the plots after the stream has been opened. The stream does not repeat counts that have not changed. */
function resume() {
  settling = undefined;
  stream.isCurrent = true;
  for (const series of seriesByRoom.values()) {
    const counts = series.room.current();
    if (!series.isKnown && counts) series.add(counts);
    requestHistory(series);
  }
  stream.onChange();
}

let waiting; // the series whose history is requested soon

function requestHistory(series) {
  if (!waiting) {
    waiting = new Set();
    setTimeout(fetchHistory);
  }
  waiting.add(series);
}

async function fetchHistory() {
  const all = [...waiting];
  waiting = undefined;
  while (all.length) {
    const some = all.splice(0, maxRooms);
    try {
      const history = await fetchJSON(`history?${new URLSearchParams(some.map(({ name }) => ["room", name]))}`);
      if (!stream.isCurrent) return; // resume requests the history again
      for (const series of some) series.merge(history.rooms[series.name]);
    } catch {
      // The plots begin later.
    }
  }
}

/** Requests JSON from the server. The state of a degraded cluster has status 503. */
export async function fetchJSON(path) {
  const response = await fetch(path, { signal: AbortSignal.timeout(5e3) });
  if (!response.ok && response.status !== 503) throw new Error(response.statusText);
  return response.json();
}

/**
 * Calls listener.update with the counts of a room, first with the current counts and then after each
 * change, until stop() is called. Calls listener.refuse if the server refuses the room, and rejects if
 * the name is not valid.
 */
export async function subscribe(name, listener) {
  const { occupancy } = await rooms.get(name);
  let series = seriesByRoom.get(name);
  if (!series) {
    series = Object.assign(new Series(), { name, room: occupancy });
    const onError = (error) => {
      if (error.room !== name) return; // the status of the stream has changed too
      for (const { refuse } of series.listeners) refuse(error);
    };
    occupancy.subscribe((event) => series.add(event.occupancy), { onError });
    seriesByRoom.set(name, series);
    if (stream.isCurrent) requestHistory(series);
  }
  series.listeners.add(listener);
  if (series.isKnown) listener.update(series.latest);
  return {
    series,
    stop() {
      series.listeners.delete(listener);
      if (series.listeners.size || seriesByRoom.get(name) !== series) return;
      seriesByRoom.delete(name);
      rooms.release(name);
    },
  };
}
