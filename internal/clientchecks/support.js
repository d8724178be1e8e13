// Helpers of the client's tests.

/** Collects what the client passes to reportError. */
export const reported = [];
globalThis.reportError = (error) => reported.push(error);

export const counts = (connections, presenceMembers = 0) => ({ connections, presenceMembers });

/** Creates a listener that records its events. next resolves with the first unread occupancy. */
export const recorder = () => {
  const events = [];
  let wake = () => {};
  const listener = (event) => {
    events.push(event);
    wake();
  };
  const next = async () => {
    while (!events.length) await new Promise((resolve) => (wake = resolve));
    return events.shift().occupancy;
  };
  /** Reads until the room has this number of connections. */
  const until = async (connections) => {
    while ((await next()).connections !== connections);
  };
  return { events, listener, next, until };
};

/** Returns the connections of the recorded events. */
export const connections = ({ events }) => events.map(({ occupancy }) => occupancy.connections);

/** Lets all promises proceed that do not wait for a timer or the network. */
export const settle = async () => {
  for (let i = 0; i < 10; i++) await new Promise(setImmediate);
};

/** Runs f with a clock that stands still until f calls advance. All random numbers are close to 1/2. */
export const withClock = async (f) => {
  const { timeout } = AbortSignal;
  const real = { setTimeout, clearTimeout, setInterval, clearInterval, random: Math.random, now: Date.now, performance: performance.now };
  const timers = new Map();
  let now = 1e6;
  let id = 0;
  const start = (call, ms, args, period) => {
    if (ms > 2 ** 31 - 1) ms = 1; // as in browsers
    timers.set(++id, { call: () => call(...args), at: now + (ms ?? 0), period });
    return id;
  };
  globalThis.setTimeout = (call, ms, ...args) => start(call, ms, args);
  globalThis.setInterval = (call, ms, ...args) => start(call, ms, args, ms);
  globalThis.clearTimeout = globalThis.clearInterval = (id) => void timers.delete(id);
  AbortSignal.timeout = (ms) => {
    const controller = new AbortController();
    start(() => controller.abort(new DOMException("timed out", "TimeoutError")), ms, []);
    return controller.signal;
  };
  let randoms = 0;
  Math.random = () => 0.5 - 1e-9 * ++randoms;
  Date.now = performance.now = () => now;
  /** Fires the timers of the next ms in their order. */
  const advance = async (ms) => {
    const end = now + ms;
    for (;;) {
      await settle();
      const [next] = [...timers].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at);
      if (!next) break;
      const [id, timer] = next;
      now = Math.max(now, timer.at);
      if (timer.period) timer.at += timer.period;
      else timers.delete(id);
      timer.call();
    }
    now = end;
  };
  /** Lets time pass without timers, as while the device is asleep. */
  const sleep = (ms) => {
    now += ms;
    for (const timer of timers.values()) timer.at += ms;
  };
  try {
    await f({ advance, sleep, timers });
  } finally {
    const { random, now, performance: performanceNow, ...functions } = real;
    Object.assign(globalThis, functions);
    AbortSignal.timeout = timeout;
    Object.assign(Math, { random });
    Object.assign(Date, { now });
    performance.now = performanceNow;
  }
};

const encoder = new TextEncoder();
/** Returns an event of a stream, with the time at which the server published it if at is given. */
export const frame = (type, data, at) => `event: ${type}\n${at === undefined ? "" : `: at ${at}\n`}data: ${JSON.stringify(data)}\n\n`;
export const updated = (room, connections, at) => frame("occupancy.updated", { room, type: "occupancy.updated", occupancy: counts(connections) }, at);

/** Returns a JSON response to a batch request. */
export const json = (body, init) => new Response(JSON.stringify(body), { headers: { "Content-Type": "application/json" }, ...init });

/**
 * A server in this process. answer(request) returns a response, or undefined for no response. A
 * request has the fields url, path ("/events" or "/"), rooms, and aborted.
 */
export const newServer = (answer) => {
  const requests = [];
  const fetch = (url, { signal }) => {
    const { pathname, searchParams } = new URL(url, "http://server");
    const request = { url, path: pathname.replace("/base", ""), rooms: searchParams.getAll("room"), aborted: false };
    requests.push(request);
    return new Promise((resolve, reject) => {
      const abort = () => {
        request.aborted = true;
        reject(signal.reason);
      };
      if (signal.aborted) return abort();
      signal.addEventListener("abort", abort);
      Promise.resolve(answer(request, signal)).then((response) => response && resolve(response), reject);
    });
  };
  return {
    fetch,
    requests,
    streams: () => requests.filter(({ path }) => path === "/events"),
    polls: () => requests.filter(({ path }) => path === "/"),
    open: () => requests.filter(({ path, aborted, ended }) => path === "/events" && !aborted && !ended),
  };
};

/** Returns the response to a request for a stream: send and end control it. */
export const newStream = (request, signal, headers = { "Occupancy-Heartbeat": "15" }) => {
  let controller;
  const body = new ReadableStream({
    start: (c) => {
      controller = c;
      signal.addEventListener("abort", () => request.ended || c.error(signal.reason));
    },
  });
  return {
    response: new Response(body, { headers: { "Content-Type": "text/event-stream", ...headers } }),
    send: (...frames) => controller.enqueue(encoder.encode(frames.join(""))),
    sendBytes: (...bytes) => controller.enqueue(Uint8Array.from(bytes)),
    end: (error) => {
      request.ended = true;
      if (error) controller.error(error);
      else controller.close();
    },
  };
};

/** A server whose rooms have the counts in values, 0 by default. Streams stay open, until they are ended. */
export const newLiveServer = () => {
  const values = Object.create(null);
  const streams = []; // all streams so far
  const server = newServer((request, signal) => {
    if (server.down) throw new TypeError("fetch failed");
    if (server.refuse) return server.refuse(request, signal);
    if (request.path === "/") return json({ rooms: Object.fromEntries(request.rooms.map((room) => [room, counts(values[room] ?? 0)])) });
    const stream = newStream(request, signal);
    streams.push(Object.assign(stream, { request }));
    stream.send("retry: 2000\n\n", ...request.rooms.map((room) => updated(room, values[room] ?? 0)));
    return stream.response;
  });
  /** Changes the connections of a room. */
  const set = (room, connections) => {
    values[room] = connections;
    for (const stream of streams) {
      const { aborted, ended, rooms } = stream.request;
      if (!aborted && !ended && rooms.includes(room)) stream.send(updated(room, connections));
    }
  };
  return Object.assign(server, { values, all: streams, set });
};
