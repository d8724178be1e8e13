// Live occupancy of rooms: the browser client of the Go package occupancyhttp.
//
//   import { connect } from "/occupancy/occupancy.js";
//   const room = await connect("/occupancy").rooms.get("lobby");
//   const { unsubscribe } = room.occupancy.subscribe((event) => { console.log(event); });
//
// All rooms of a page share one stream, because a browser opens only six HTTP/1.1 connections
// to a host. The client reads the stream with fetch and not with EventSource. EventSource
// retries without jitter, stops after status 503, and does not report the status. EventSource
// also does not detect an open connection on which no data arrives any more.

const maxRooms = 256; // in one stream: the limit of the server
const maxQuery = 7000; // characters: common proxies accept URLs of up to 8 kB
const updateDelay = 10; // ms: changes of the set of rooms within this time cause one reconnect
const openTimeout = 20e3; // ms in which the response to a stream request must start
const maxBackoff = 30e3; // ms: the longest pause between two attempts, in addition to Retry-After

const report = (error) => {
  if (globalThis.reportError) reportError(error);
  else setTimeout(() => { throw error; });
};

const contentType = (response) => response.headers.get("Content-Type") ?? "(none)";

/** Returns the Error for a response that refuses the request or has an unexpected content type. */
const responseError = async (response, context) => {
  const { error = {} } = await response.json().catch(() => ({}));
  const message = error.message || (response.ok ? `unexpected content type ${contentType(response)}` : response.statusText) || "request failed";
  return Object.assign(new Error(`occupancy: ${context}: ${message} (${response.status})`), {
    status: response.status,
    code: error.code,
    room: error.room,
    retryAfter: 1e3 * response.headers.get("Retry-After"),
  });
};

/** Connects to the handler that is mounted at base. Sends no request until a room is used. */
export const connect = (base, options = {}) => {
  const root = String(base).replace(/\/+$/, "");
  const request = options.fetch ?? ((...args) => fetch(...args));
  const rooms = new Map(); // by name
  const streams = new Set();

  // When the user leaves the page, the browser may keep the page in the back/forward cache. The
  // client then closes the streams, and opens them again when the page is shown.
  let untilPageShown; // a promise that resolves when the page is shown; undefined while the page is visible
  globalThis.addEventListener?.("pagehide", () => {
    untilPageShown = new Promise((resolve) => addEventListener("pageshow", resolve, { once: true })).then(() => {
      untilPageShown = undefined;
    });
    for (const stream of streams) stream.reconnect();
  });

  /** Calls a listener with the room's newest event, unless the listener has unsubscribed or has received this event. */
  const deliver = (room, listener) => {
    if (listener.lastEvent === room.event || !room.listeners.has(listener)) return;
    listener.lastEvent = room.event;
    try {
      const { callback } = listener;
      callback(room.event);
    } catch (error) {
      report(error);
    }
  };

  /** Handles the JSON of one event. */
  const receive = (data) => {
    const { room: name, ...event } = JSON.parse(data);
    const room = rooms.get(name);
    if (data !== room.deliveredData) {
      Object.freeze(event.occupancy);
      room.event = Object.freeze(event);
    }
    room.data = data;
    room.deliveredData = undefined;
    room.live = true;
    for (const listener of room.listeners) deliver(room, listener);
  };

  const forgetEvent = (room) => {
    room.event = room.deliveredData = undefined;
  };

  const newStream = () => {
    const streamRooms = new Set();
    let query = ""; // the rooms of the current connection; "" while the stream is stopped
    let failures = 0; // failed attempts since the last event
    let connected = false; // true from the first data of a connection until the connection ends
    let reconnecting; // true if reconnect ended the connection
    let controller, updateTimer, wake;

    const wantedQuery = () => [...streamRooms].filter((room) => room.listeners.size).map((room) => room.query).join("&");

    const remove = (room) => {
      streamRooms.delete(room);
      room.stream = room.live = undefined;
      forgetEvent(room);
    };

    /** Reports a room that the server refused, and removes it from the stream. */
    const refuse = ({ room: name, status, code, message }) => {
      report(Object.assign(new Error(`occupancy: cannot open the stream: ${message} (${status})`), { status, code, room: name }));
      const room = rooms.get(name);
      query = query.split("&").filter((other) => other !== room.query).join("&");
      remove(room);
    };

    /** Opens a connection and handles its events until it ends. */
    const read = async () => {
      let watchdog;
      /** Aborts the connection after ms, unless setWatchdog is called again. 0 stops the watchdog. */
      const setWatchdog = (ms) => {
        clearTimeout(watchdog);
        watchdog = ms && setTimeout(() => controller.abort(), ms);
      };
      controller = new AbortController();
      try {
        setWatchdog(openTimeout);
        const response = await request(`${root}/events?${query}`, { signal: controller.signal, cache: "no-store" });
        // If base is wrong, a server may return a page with status 200.
        if (!response.ok || !contentType(response).startsWith("text/event-stream")) throw await responseError(response, "cannot open the stream");
        const maxSilence = 3e3 * response.headers.get("Occupancy-Heartbeat");
        const reader = response.body.getReader();
        const decoder = new TextDecoder();
        for (let text = ""; ; ) {
          setWatchdog(maxSilence);
          const { done, value } = await reader.read();
          if (done) return;
          const frames = (text + decoder.decode(value, { stream: true })).split("\n\n");
          text = frames.pop();
          for (const frame of frames) {
            const data = frame.split("\ndata: ")[1];
            if (!data) continue; // a comment
            failures = 0;
            if (frame.startsWith("event: occupancy.refused")) refuse(JSON.parse(data));
            else if (!frame.startsWith("event: occupancy.stale")) receive(data);
          }
          if (!connected) {
            connected = true;
            scheduleUpdate(); // the set of rooms may have changed during the attempt
          }
        }
      } finally {
        setWatchdog(0);
        controller.abort();
      }
    };

    /** Resolves after ms, when the browser comes online, or when wake is called. */
    const sleep = (ms) =>
      new Promise((resolve) => {
        wake = () => {
          clearTimeout(timeout);
          globalThis.removeEventListener?.("online", wake);
          resolve();
        };
        const timeout = setTimeout(wake, ms);
        globalThis.addEventListener?.("online", wake);
      });

    /** Keeps a connection open until no room has a listener. */
    const run = async () => {
      while ((query = wantedQuery())) {
        if (untilPageShown) {
          await untilPageShown;
          continue;
        }
        for (const room of streamRooms) {
          if (!room.listeners.size) remove(room);
          // After a reconnect that the client itself caused, an unchanged value is not delivered again.
          if (room.live) room.deliveredData = room.data;
          room.live = false;
        }
        reconnecting = false;
        const error = (await read().catch((error) => error)) ?? {};
        connected = false; // a room that is added now waits for the next attempt
        if (reconnecting) continue;
        const room = rooms.get(error.room);
        const refused = streamRooms.has(room);
        if (refused || error.status < 500) report(error);
        if (refused) {
          remove(room);
          continue; // reconnect without this room, immediately
        }
        for (const room of streamRooms) room.live = room.deliveredData = undefined;
        await sleep((error.retryAfter || 0) + Math.random() * Math.min(maxBackoff, 1e3 * 2 ** failures++));
      }
      streamRooms.forEach(remove);
      streams.delete(stream);
    };

    /** Ends the connection or the pause between two attempts. run then opens the next connection, if a room has a listener. */
    const reconnect = () => {
      reconnecting = true;
      controller?.abort();
      wake?.();
    };

    /** Starts the stream, or reconnects it if its set of rooms has changed. The old connection ends before the new one opens, so events stay in order. */
    const scheduleUpdate = () => {
      updateTimer ??= setTimeout(() => {
        updateTimer = undefined;
        const wanted = wantedQuery();
        if (!query) run();
        // While a room has a listener, an attempt to connect is never aborted: frequent changes of the rooms would abort every attempt.
        else if (wanted !== query && (!wanted || connected)) reconnect();
      }, updateDelay);
    };

    const stream = {
      scheduleUpdate,
      reconnect,
      /** Adds a room and returns true, or returns undefined if the stream is full. */
      add: (room) => {
        const length = [...streamRooms].reduce((sum, { query }) => sum + query.length + 1, room.query.length);
        if (streamRooms.size === maxRooms || (streamRooms.size && length > maxQuery)) return;
        streamRooms.add(room);
        room.stream = stream;
        return true;
      },
    };
    streams.add(stream);
    return stream;
  };

  const newRoom = (name) => {
    const room = {
      query: `room=${encodeURIComponent(name)}`,
      listeners: new Set(),
      stream: undefined, // the stream that contains the room
      live: undefined, // true while the stream is connected and has sent an event of the room
      event: undefined, // the newest event
      data: undefined, // the JSON of the newest event
      deliveredData: undefined, // during a reconnect: the JSON of the event that must not be delivered again
    };
    const occupancy = {
      subscribe: (callback) => {
        if (typeof callback !== "function") throw new TypeError("occupancy: the listener must be a function");
        const listener = { callback };
        room.listeners.add(listener);
        if (room.live) queueMicrotask(() => deliver(room, listener));
        if (!room.stream) [...streams].some((stream) => stream.add(room)) || newStream().add(room);
        room.stream.scheduleUpdate();
        const unsubscribe = () => {
          if (!room.listeners.delete(listener)) return;
          if (!room.listeners.size && !room.live) forgetEvent(room);
          room.stream?.scheduleUpdate();
        };
        return { unsubscribe };
      },
      current: () => (room.listeners.size ? room.event?.occupancy : undefined),
      get: async () => {
        const context = `cannot get room ${JSON.stringify(name)}`;
        try {
          const response = await request(`${root}/rooms/${encodeURIComponent(name)}?fresh=1`, { cache: "no-store" });
          if (!response.ok) throw await responseError(response, context);
          const partial = response.headers.get("Occupancy-Partial") === "true";
          return Object.assign(await response.json(), partial && { partial });
        } catch (error) {
          throw error.status ? error : new Error(`occupancy: ${context}: ${error.message}`, { cause: error });
        }
      },
    };
    room.handle = { name, occupancy };
    rooms.set(name, room);
    return room;
  };

  return {
    rooms: {
      get: async (name) => {
        if (typeof name !== "string" || !name || /\p{Surrogate}/u.test(name))
          throw new TypeError("occupancy: the room name must be a non-empty string without lone surrogates");
        return (rooms.get(name) ?? newRoom(name)).handle;
      },
    },
  };
};
