// Types of react.js, the occupancy of rooms and lists of rooms in React components.

import type { Provider } from "react";
import type { Client, OccupancyError, Status } from "./occupancy.js";
import type { ListedRoom, Total } from "./rooms.js";

/** Passes a client to the components inside: `<OccupancyProvider value={connect("/occupancy")}>`. */
export const OccupancyProvider: Provider<Client | undefined>;

export interface RoomState {
  /** Undefined until the counts are known, and after the server has refused the room. */
  readonly connections: number | undefined;
  readonly presenceMembers: number | undefined;
  /** The number of distinct users. Undefined also if it is 0, or if the server does not count users. */
  readonly users: number | undefined;
  /** The status of the connection. While it is not "live", the counts may be outdated. */
  readonly status: Status;
  /** The last error of the room or of the connection. Undefined as soon as the counts are current again. */
  readonly error: OccupancyError | undefined;
}

/**
 * Returns the occupancy of a room, and renders the component again after each change. Throws an
 * Error outside of an OccupancyProvider. On the server, it returns the status "idle" and no counts.
 */
export function useOccupancy(room: string): RoomState;

export interface ListState {
  /** Undefined until the list is known. */
  readonly rooms: readonly ListedRoom[] | undefined;
  /** The counts of all rooms together. Undefined until the list is known. */
  readonly total: Total | undefined;
  readonly status: Status;
  readonly error: OccupancyError | undefined;
}

/**
 * Returns the popular or the trending rooms, and renders the component again after each change. The
 * limit is 1 to 100, and 10 by default. The client must be of `occupancy-client/rooms`.
 */
export function useList(by: "popular" | "trending", limit?: number): ListState;
