// Lists of rooms: the popular and the trending rooms, in addition to what occupancy.js does.
//
//   import { connect } from "/occupancy/rooms.js";
//   const { rooms } = connect("/occupancy");
//   rooms.popular(10).subscribe(({ rooms, total }) => { console.log(rooms, total); });
//
// Lists and rooms arrive on the same stream.

import { connect as connectRooms } from "./occupancy.js";

const listMark = "\ud800"; // see occupancy.js

/** Returns the name of a list in occupancy.js. */
const nameOf = (by, limit) => `${listMark}&by=${by}&limit=${limit}`;

/**
 * Reads a list of a JSON response, which contains all rooms, or an event of a stream, which contains
 * the changed rooms. known contains the rooms of the stream's lists, by name.
 */
const readList = ({ by, limit, rooms, length, changed, total }, known) => {
  const name = nameOf(by, limit);
  if (changed) {
    rooms = (known[name] ?? []).slice(0, length);
    for (const { place, ...room } of changed) rooms[place] = room;
    known[name] = rooms;
  }
  return [name, { type: "occupancy.list", rooms, total }];
};

const addLists = (use) => {
  const list = (by) => (limit = 10) => {
    if (!(limit >= 1 && limit <= 100)) throw new RangeError("occupancy: invalid limit: must be 1 to 100");
    const { subscribe } = use(nameOf(by, Math.floor(limit))).occupancy;
    return { subscribe };
  };
  return { lists: { popular: list("popular"), trending: list("trending") }, readList };
};

/** Connects to the handler that is mounted at base. */
export const connect = (base, options = {}) => {
  const share = options.share ?? !options.fetch;
  // A tab without this module cannot receive lists for other tabs.
  return connectRooms(base, { ...options, share: share && `${share} lists` }, addLists);
};
