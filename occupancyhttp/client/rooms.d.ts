// Types of rooms.js, the browser client with lists of rooms.

import type { Client, ConnectOptions, Occupancy, Rooms, SubscribeOptions, Subscription } from "./occupancy.js";

/** A room of a list. The last three fields explain its place among the trending rooms, as of the last change of its counts or its place. */
export interface ListedRoom {
  readonly name: string;
  readonly occupancy: Occupancy;
  /** Recent arrivals, less those who left. */
  readonly arrivals: number;
  /** The usual size of the room. */
  readonly usual: number;
  /** The arrivals in relation to the usual size: arrivals / (usual + 5), with the default options of the board. */
  readonly ratio: number;
}

/** The counts of all rooms together. */
export interface Total extends Occupancy {
  readonly rooms: number;
}

/** A notification of a new list. */
export interface ListEvent {
  readonly type: "occupancy.list";
  /** The whole list, with the highest room first. Rooms that the user may not read are left out. */
  readonly rooms: readonly ListedRoom[];
  readonly total: Total;
}

export interface List {
  /**
   * Calls the listener with the list as soon as it is known, and then after each change of the list or
   * the total. The rules are those of a room's subscribe. onError is called for errors of
   * the connection, for example if the server has no lists.
   */
  readonly subscribe: (listener: (event: ListEvent, publishedAt?: number) => void, options?: SubscribeOptions) => Subscription;
}

export interface RoomsAndLists extends Rooms {
  /** Returns the list of the rooms with the most connections. The limit is 1 to 100, and 10 by default. Throws a RangeError for other limits. */
  readonly popular: (limit?: number) => List;
  /** Returns the list of the rooms that have grown the most, compared with their usual size. */
  readonly trending: (limit?: number) => List;
}

export interface ClientWithLists extends Client {
  readonly rooms: RoomsAndLists;
}

/**
 * Connects to the handler that is mounted at base, like the function of occupancy.js. Lists and rooms
 * arrive on the same stream. A page can use eight lists at the same time.
 */
export function connect(base: string | URL, options?: ConnectOptions): ClientWithLists;
