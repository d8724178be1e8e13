// The counts of each room in the last minutes. The page receives the counts of all rooms on
// one occupancy stream.

import { connect } from "/occupancy/occupancy.js";

const { rooms } = connect("/occupancy");
const seriesByRoom = new Map();

export const maxAge = 5 * 60e3; // of samples, in ms

/** A list of samples, the oldest first. */
export class Series {
  samples = []; // { time, connections, presenceMembers, users }
  listeners = new Set();

  get latest() {
    return this.samples.at(-1);
  }

  add({ connections, presenceMembers, users }) {
    const time = Date.now();
    if (this.latest?.time === time) this.samples.pop(); // keep one sample per millisecond
    this.samples.push({ time, connections, presenceMembers, users });
    // Keep one older sample, because its counts are still valid at the start of the plot.
    const first = this.samples.findIndex((sample) => sample.time > time - maxAge);
    if (first > 1) this.samples.splice(0, first - 1);
    for (const listener of this.listeners) listener(this.latest);
  }
}

/** Calls the listener with the counts of a room, first with the current counts and then after each change, until stop() is called. */
export async function subscribe(name, listener) {
  const { occupancy } = await rooms.get(name);
  let series = seriesByRoom.get(name);
  if (!series) {
    series = new Series();
    series.subscription = occupancy.subscribe((event) => series.add(event.occupancy));
    seriesByRoom.set(name, series);
  }
  series.listeners.add(listener);
  if (series.latest) listener(series.latest);
  return {
    series,
    stop() {
      series.listeners.delete(listener);
      if (series.listeners.size || seriesByRoom.get(name) !== series) return;
      seriesByRoom.delete(name);
      series.subscription.unsubscribe();
    },
  };
}
