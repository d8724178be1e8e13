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

/**
 * Receives an event. publishedAt is the time at which the server published it, in the milliseconds of
 * Date.now(): Date.now() - publishedAt is the age of the event. The time is corrected for the
 * difference between the clocks of the server and the browser. The error is at most half of the time
 * that opening the stream took, so publishedAt can be slightly in the future. publishedAt is
 * undefined for an event that is older than the stream or the listener, and while the client polls.
 */
export type OccupancyListener = (event: OccupancyEvent, publishedAt?: number) => void;

export interface Subscription {
  /** Removes the listener. Later calls have no effect. The stream closes when the page has no listener left. */
  readonly unsubscribe: () => void;
}

export interface SubscribeOptions {
  /**
   * Called in place of reportError if the server refuses the room, and once if the client cannot
   * receive any counts for a reason that retries do not remove. A function that is passed for
   * several rooms is called once for an error that concerns all of them.
   */
  readonly onError?: (error: OccupancyError) => void;
}

export interface RoomOccupancy {
  /**
   * Calls the listener with the room's occupancy as soon as the occupancy is known, and then after
   * each change. The listener is never called before subscribe returns.
   *
   * Subscribing one function twice creates two subscriptions. If a listener throws, the error is
   * passed to reportError, and other listeners are still called.
   *
   * If the server refuses a room, the client does not request the room again until the next call
   * of subscribe. Throws an Error if the room was released or the client was closed.
   */
  readonly subscribe: (listener: OccupancyListener, options?: SubscribeOptions) => Subscription;

  /**
   * Returns the occupancy in the newest event, without a request. Returns undefined before the
   * first event, and while the page has no listener for the room. While the status of the
   * connection is not "live", the occupancy may be outdated.
   */
  readonly current: () => Occupancy | undefined;

  /**
   * Requests the occupancy from the server, which queries all nodes of a cluster. Calls for several
   * rooms share a request. Rejects with an {@link OccupancyError} if the server refuses the request
   * or does not respond within ten seconds. The result contains `partial: true` if the counts of
   * some nodes are missing.
   */
  readonly get: () => Promise<Occupancy & { readonly partial?: true }>;
}

export interface Room {
  readonly name: string;
  readonly occupancy: RoomOccupancy;
}

export interface Rooms {
  /**
   * Returns the room with this name, always the same object until the room is released. Rejects with
   * a TypeError if the name is not a string of 1 to 1024 bytes of UTF-8, and with an Error if the
   * client is closed.
   */
  readonly get: (name: string) => Promise<Room>;

  /** Removes all listeners of the room, and frees its memory. */
  readonly release: (name: string) => void;
}

/**
 * - idle: no room has a listener
 * - connecting: the client is opening a stream
 * - live: the counts are current. They arrive on a stream, or every few seconds by polling if streams do not work.
 * - waiting: the connection failed. The client tries again soon.
 * - failed: the connection failed for a reason that retries probably do not remove, such as status 401. The client tries again from time to time.
 */
export type Status = "idle" | "connecting" | "live" | "waiting" | "failed";

export interface Connection {
  readonly status: Status;
  /** Whether the server has reported that its numbers are not current. */
  readonly stale: boolean;
  /** Why the numbers are stale. */
  readonly reasons: readonly string[];
  /** Calls the listener with the status after each change of status, stale or reasons. */
  readonly onStatusChange: (listener: (status: Status) => void) => Subscription;
}

/** The client of one handler. */
export interface Client {
  readonly rooms: Rooms;
  readonly connection: Connection;
  /** Removes all listeners and closes the stream. The client cannot be used any more. */
  readonly close: () => void;
}

export interface ConnectOptions {
  /** Called in place of the browser's fetch, for example to add a header or credentials. */
  readonly fetch?: (url: string, init: RequestInit) => Promise<Response>;

  /**
   * Whether the tabs of the browser share one stream. Only tabs with the same base and the same value
   * of share do, so pass the ID of the user if the tabs of several users must not receive the counts
   * of each other. The default is true, or false if fetch is set.
   */
  readonly share?: boolean | string;
}

/** An error of the server or of the connection. */
export interface OccupancyError extends Error {
  /** The HTTP status, if the server has responded: 401 if authentication is required, 403 if access to the room is denied. */
  readonly status?: number;
  /** The error code of the server, such as "forbidden". */
  readonly code?: string;
  /** The refused room, if the error concerns only one room. */
  readonly room?: string;
}

/**
 * Connects to the handler that is mounted at base, such as "/occupancy". The client sends no request
 * before a room is used. Call connect once per page.
 */
export function connect(base: string | URL, options?: ConnectOptions): Client;
