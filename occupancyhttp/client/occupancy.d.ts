// Types of occupancy.js, the browser client of the Go package occupancyhttp.

/** How many connections and how many presence members a room has. */
export interface Occupancy {
  readonly connections: number;
  readonly presenceMembers: number;
}

/** The occupancy of a room is now this. */
export interface OccupancyEvent {
  readonly type: "occupancy.updated";
  readonly occupancy: Occupancy;
}

export type OccupancyListener = (event: OccupancyEvent) => void;

export interface Subscription {
  /** Ends this subscription; the last one of the page closes its stream. Again, it does nothing. */
  unsubscribe(): void;
}

export interface RoomOccupancy {
  /**
   * Calls the listener with what the room's occupancy is, as soon as that is known, and then with
   * whatever it becomes. After a lost connection the first call may repeat the last.
   *
   * The same listener twice is two subscriptions. One that throws harms no other: the error goes to
   * reportError. So does a refusal, an OccupancyError: a room that it names is left alone until it is
   * subscribed to again; if all is refused (401) it is asked again, ever less often.
   */
  subscribe(listener: OccupancyListener): Subscription;

  /** The newest event that was heard of the room; undefined until the first. */
  current(): OccupancyEvent | undefined;

  /**
   * Asks the server. Rejects with an OccupancyError if it refuses, and with another Error if no
   * answer came. The answer has partial: true if some nodes of a cluster did not say theirs.
   */
  get(): Promise<Occupancy & { readonly partial?: true }>;
}

export interface Room {
  readonly name: string;
  readonly occupancy: RoomOccupancy;
}

export interface Rooms {
  /** The room of this name: the same object each time. Rejects with a TypeError if it is no name. */
  get(name: string): Promise<Room>;
}

export interface Connection {
  readonly rooms: Rooms;
}

export interface ConnectOptions {
  /** Used in place of the browser's fetch, for example to add a header or credentials. */
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
}

/** What the server's refusals are. */
export interface OccupancyError extends Error {
  /** The HTTP status: 401 or 403 for a room that is not yours to see. */
  readonly status: number;
  /** The server's word for it, such as "forbidden". */
  readonly code?: string;
  /** The room that a stream was refused for, where it is one of several. */
  readonly room?: string;
}

/**
 * Connects to the handler that is mounted at base, such as "/occupancy". Nothing is fetched before a
 * room is used. Call it once for a page: all its rooms share one stream, up to 256 of them.
 */
export function connect(base: string | URL, options?: ConnectOptions): Connection;
