// Live occupancy of rooms, from the Go package occupancyhttp:
//
//   import { connect } from "/occupancy/occupancy.js";
//   const room = await connect("/occupancy").rooms.get("lobby");
//   const { unsubscribe } = room.occupancy.subscribe((event) => console.log(event.occupancy));
//
// All rooms of a page share one stream, because a browser opens only six connections to a
// host. It is read by fetch, not EventSource: that retries on a clock of its own, without
// jitter, gives up for good at a 503, and tells neither a status nor that a stream fell silent.

const maxRooms = 256; // of a stream; the server takes no more
const maxQuery = 7000; // of a stream's address; common proxies take 8 kB
const settling = 10; // ms in which changes of the set of rooms become one
const patience = 20e3; // ms that a stream may take to open
const longest = 30e3; // ms between two attempts, but for what the server asks

const report = (error) => {
  if (globalThis.reportError) reportError(error);
  else setTimeout(() => { throw error; });
};

const typeOf = (response) => response.headers.get("Content-Type") ?? "of no type";

/** The Error that an answer which is not what was asked for stands for. */
const failure = async (response, what) => {
  const { error = {} } = await response.json().catch(() => ({}));
  const message = error.message || (response.ok ? `this is ${typeOf(response)}` : response.statusText) || "no occupancy here";
  return Object.assign(new Error(`occupancy: ${what}: ${message} (${response.status})`), {
    status: response.status,
    code: error.code,
    room: error.room,
    pause: 1e3 * response.headers.get("Retry-After"),
  });
};

/** Connects to the handler that is mounted at base. Nothing is fetched until a room is used. */
export const connect = (base, options = {}) => {
  const root = String(base).replace(/\/+$/, "");
  const request = options.fetch ?? ((...args) => fetch(...args));
  const rooms = new Map(); // by name
  const streams = new Set();

  // A page that is left may be kept for coming back, and its streams with it. They end, and
  // begin anew when it is shown again.
  let away;
  globalThis.addEventListener?.("pagehide", () => {
    away = new Promise((resolve) => addEventListener("pageshow", resolve, { once: true })).then(() => {
      away = undefined;
    });
    for (const stream of streams) stream.move();
  });

  /** Tells a listener the room's newest event, unless it knows it or has left. */
  const tell = (room, listener) => {
    if (listener.told === room.event || !room.listeners.has(listener)) return;
    listener.told = room.event;
    try {
      const { call } = listener;
      call(room.event);
    } catch (error) {
      report(error);
    }
  };

  /** Takes an event as it came over the wire. */
  const receive = (data) => {
    const { room: name, ...event } = JSON.parse(data);
    const room = rooms.get(name);
    if (data !== room.known) {
      Object.freeze(event.occupancy);
      room.event = Object.freeze(event);
    }
    room.data = data;
    room.known = undefined;
    room.live = true;
    for (const listener of room.listeners) tell(room, listener);
  };

  const newStream = () => {
    const members = new Set();
    let query = ""; // of the rooms that it is open for; "" while it does not run
    let failures = 0; // since the last event
    let controller, opening, moving, timer, wake;

    const wanted = () => [...members].filter((room) => room.listeners.size).map((room) => room.query).join("&");

    const drop = (room) => {
      members.delete(room);
      room.stream = room.live = room.known = undefined;
    };

    const read = async () => {
      let watch;
      const expect = (ms) => {
        clearTimeout(watch);
        watch = ms && setTimeout(() => controller.abort(), ms);
      };
      controller = new AbortController();
      try {
        expect(patience);
        const response = await request(`${root}/occupancy/events?${query}`, { signal: controller.signal, cache: "no-store" });
        // A server that knows no such path may answer 200 with a page.
        if (!response.ok || !typeOf(response).startsWith("text/event-stream")) throw await failure(response, "no stream");
        const silence = 3e3 * response.headers.get("Occupancy-Heartbeat");
        const reader = response.body.getReader();
        const decoder = new TextDecoder();
        for (let text = ""; ; ) {
          expect(silence);
          const { done, value } = await reader.read();
          if (done) return;
          const frames = (text + decoder.decode(value, { stream: true })).split("\n\n");
          text = frames.pop();
          for (const frame of frames) {
            const data = frame.split("\ndata: ")[1];
            if (!data) continue;
            failures = 0;
            receive(data);
          }
          if (opening) {
            opening = false;
            change(); // if it was put off
          }
        }
      } finally {
        expect(0);
        controller.abort();
      }
    };

    /** Waits, unless the browser comes online or nothing is wanted any more. */
    const rest = (ms) =>
      new Promise((resolve) => {
        wake = () => {
          clearTimeout(timeout);
          globalThis.removeEventListener?.("online", wake);
          resolve();
        };
        const timeout = setTimeout(wake, ms);
        globalThis.addEventListener?.("online", wake);
      });

    const run = async () => {
      while ((query = wanted())) {
        if (away) {
          await away;
          continue;
        }
        for (const room of members) {
          if (!room.listeners.size) drop(room);
          // A stream that only moves tells nobody again what was the last word before.
          if (room.live) room.known = room.data;
          room.live = false;
        }
        moving = false;
        opening = true;
        const error = (await read().catch((error) => error)) ?? {};
        opening = true; // what changes now is for the next attempt
        if (moving) continue;
        const room = rooms.get(error.room);
        const refused = members.has(room);
        if (refused || error.status < 500) report(error);
        if (refused) {
          drop(room); // the others can do without it
          continue;
        }
        for (const room of members) room.live = room.known = undefined;
        await rest((error.pause || 0) + Math.random() * Math.min(longest, 1e3 * 2 ** failures++));
      }
      members.forEach(drop);
      streams.delete(stream);
    };

    /** Has the stream end, and begin anew with what is wanted then. */
    const move = () => {
      moving = true;
      controller?.abort();
      wake?.();
    };

    /** Follows the set of rooms. One connection ends before the next, so that no event overtakes another. */
    const change = () => {
      timer ??= setTimeout(() => {
        timer = undefined;
        const now = wanted();
        if (!query) run();
        // One that is opening may finish, or a set that never settles would starve.
        else if (now !== query && !(now && opening)) move();
      }, settling);
    };

    const stream = {
      change,
      move,
      /** Takes a room in, if it has space for one more. */
      take: (room) => {
        const length = [...members].reduce((sum, { query }) => sum + query.length + 1, room.query.length);
        if (members.size === maxRooms || (members.size && length > maxQuery)) return;
        members.add(room);
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
      stream: undefined, // that it is on, or will be
      live: undefined, // true once the stream has told of it, until that ends
      event: undefined, // the newest
      data: undefined, // the newest, as it came
      known: undefined, // data that would be no news
    };
    const occupancy = {
      subscribe: (call) => {
        if (typeof call !== "function") throw new TypeError("occupancy: a listener is a function");
        const listener = { call };
        room.listeners.add(listener);
        if (room.live) queueMicrotask(() => tell(room, listener));
        if (!room.stream) [...streams].some((stream) => stream.take(room)) || newStream().take(room);
        room.stream.change();
        const unsubscribe = () => {
          if (room.listeners.delete(listener)) room.stream?.change();
        };
        return { unsubscribe };
      },
      current: () => room.event,
      get: async () => {
        const what = `room ${JSON.stringify(name)}`;
        try {
          const response = await request(`${root}/rooms/${encodeURIComponent(name)}/occupancy`, { cache: "no-store" });
          if (!response.ok) throw await failure(response, what);
          const partial = response.headers.get("Occupancy-Partial") === "true";
          return Object.assign(await response.json(), partial && { partial });
        } catch (error) {
          throw error.status ? error : new Error(`occupancy: ${what}: ${error.message}`, { cause: error });
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
          throw new TypeError("occupancy: a room's name is a string that is not empty, nor cut within a character");
        return (rooms.get(name) ?? newRoom(name)).handle;
      },
    },
  };
};
