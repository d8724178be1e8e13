// What each room's numbers were in the last minutes, told by the browser client of
// occupancy, which keeps one stream for all of them.

import { connect } from "/occupancy/occupancy.js";

const { rooms } = connect("/occupancy");
const followed = new Map(); // by name

export const span = 5 * 60e3; // ms that are kept

/** What numbers were, and since when. */
export class Series {
  samples = []; // { at, connections, presenceMembers }: from at on the numbers were so
  listeners = new Set();

  get now() {
    return this.samples.at(-1);
  }

  add({ connections, presenceMembers }) {
    const at = Date.now();
    if (this.now?.at === at) this.samples.pop(); // nobody sees that
    this.samples.push({ at, connections, presenceMembers });
    // The sample that the span begins with may be older than it.
    const first = this.samples.findIndex((sample) => sample.at > at - span);
    if (first > 1) this.samples.splice(0, first - 1);
    for (const listener of this.listeners) listener(this.now);
  }
}

/**
 * Follows a room. The listener is called with its numbers as soon as they are known and at every
 * change, until stop().
 */
export async function follow(name, listener) {
  const { occupancy } = await rooms.get(name);
  let series = followed.get(name);
  if (!series) {
    series = new Series();
    series.subscription = occupancy.subscribe((event) => series.add(event.occupancy));
    followed.set(name, series);
  }
  series.listeners.add(listener);
  if (series.now) listener(series.now);
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
