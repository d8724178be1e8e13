// Types of occupancy.js, the browser client of the Go package occupancyhttp.

/** The counts of a room. */
export interface Occupancy {
  readonly connections: number;
  readonly presenceMembers: number;
  /** The number of distinct users among the presence members. Absent if it is 0, or if the server does not count users. */
  readonly users?: number;
}

/** The same type as {@link Occupancy}. */
export type OccupancyData = Occupancy;

/** A notification of a room's new occupancy. */
export interface OccupancyEvent {
  readonly type: "occupancy.updated";
  readonly occupancy: Occupancy;
}

export type OccupancyListener = (event: OccupancyEvent) => void;

export interface Subscription {
  /**
   * Removes the listener. Later calls have no effect. The stream closes when the page has no
   * listener left.
   */
  readonly unsubscribe: () => void;
}

export interface RoomOccupancy {
  /**
   * Calls the listener with the room's occupancy as soon as the occupancy is known, and then after
   * each change. After a lost connection, the first event may repeat the last value.
   *
   * Subscribing one function twice creates two subscriptions. If a listener throws, the error is
   * passed to reportError, and other listeners are still called.
   *
   * If the server refuses a room, an {@link OccupancyError} is passed to reportError. The client
   * does not request a refused room again until the next call of subscribe. If the server refuses
   * the whole stream, for example with status 401, the client retries with increasing delays.
   */
  readonly subscribe: (listener: OccupancyListener) => Subscription;

  /**
   * Returns the occupancy in the newest event, without a request. Returns undefined before the
   * first event, and while the page has no listener for the room.
   */
  readonly current: () => Occupancy | undefined;

  /**
   * Requests the occupancy from the server. Rejects with an {@link OccupancyError} if the server
   * refuses the request, and with a plain Error if no response arrives. The result contains
   * `partial: true` if the counts of some nodes of a cluster are missing.
   */
  readonly get: () => Promise<Occupancy & { readonly partial?: true }>;
}

export interface Room {
  readonly name: string;
  readonly occupancy: RoomOccupancy;
}

export interface Rooms {
  /**
   * Returns the room with this name, always the same object. Rejects with a TypeError if the name is
   * not a string, is empty, or contains a lone surrogate.
   */
  readonly get: (name: string) => Promise<Room>;
}

/** The client of one handler. */
export interface Client {
  readonly rooms: Rooms;
}

export interface ConnectOptions {
  /** Called in place of the browser's fetch, for example to add a header or credentials. */
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
}

/** An error response of the server. */
export interface OccupancyError extends Error {
  /** The HTTP status: 401 if authentication is required, 403 if access to the room is denied. */
  readonly status: number;
  /** The error code of the server, such as "forbidden". */
  readonly code?: string;
  /** The refused room, if the request was for a stream of several rooms. */
  readonly room?: string;
}

/**
 * Connects to the handler that is mounted at base, such as "/occupancy". The client sends no request
 * before a room is used. Call connect once per page: up to 256 rooms of one client share a stream.
 */
export function connect(base: string | URL, options?: ConnectOptions): Client;
