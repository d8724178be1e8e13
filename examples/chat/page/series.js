// The counts of each room in the last minutes. The browser client of occupancy receives
// them over one stream for all rooms.

import { connect } from "/occupancy/occupancy.js";

const { rooms } = connect("/occupancy");
const followed = new Map(); // the series of rooms, by name

export const span = 5 * 60e3; // ms

/** The counts of the last minutes. */
export class Series {
  samples = []; // { at, connections, presenceMembers }: the counts from the time at until the next sample
  listeners = new Set();

  get latest() {
    return this.samples.at(-1);
  }

  add({ connections, presenceMembers }) {
    const at = Date.now();
    if (this.latest?.at === at) this.samples.pop(); // too short to be visible
    this.samples.push({ at, connections, presenceMembers });
    // Keep one sample from before the span: its counts apply at the start of the span.
    const first = this.samples.findIndex((sample) => sample.at > at - span);
    if (first > 1) this.samples.splice(0, first - 1);
    for (const listener of this.listeners) listener(this.latest);
  }
}

/** Calls the listener with the counts of a room when they are known and after each change, until stop(). */
export async function follow(name, listener) {
  const { occupancy } = await rooms.get(name);
  let series = followed.get(name);
  if (!series) {
    series = new Series();
    series.subscription = occupancy.subscribe((event) => series.add(event.occupancy));
    followed.set(name, series);
  }
  series.listeners.add(listener);
  if (series.latest) listener(series.latest);
  return {
    series,
    stop() {
      series.listeners.delete(listener);
      if (series.listeners.size || followed.get(name) !== series) return;
      followed.delete(name);
      series.subscription.unsubscribe();
    },
  };
}
