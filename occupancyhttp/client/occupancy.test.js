// client_javascript_test.go runs this file. It serves the handler at BASE. At CONTROL it serves
// commands that control the server and the engine.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { connect } from "./occupancy.js";

const { BASE, CONTROL } = process.env;

/** Sends a command to the test server, and resolves when the server has executed the command. */
const server = async (command, query = {}) => {
  const response = await fetch(`${CONTROL}/${command}?${new URLSearchParams(query)}`, { method: "POST" });
  const text = await response.text();
  assert.equal(response.status, 200, `${command}: ${text}`);
  return Number(text);
};

const reported = [];
globalThis.reportError = (error) => reported.push(error);
beforeEach(() => {
  reported.length = 0;
});
afterEach(() => server("await", { streams: 0 })); // every test must close its streams

/** Creates a listener that records its events. next resolves with the first unread occupancy. */
const recorder = () => {
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

let names = 0;
const newName = () => `room ${++names}/ü`;
const counts = (connections, presenceMembers = 0) => ({ connections, presenceMembers });

test("subscribe, current, get and unsubscribe", async () => {
  const name = newName();
  await server("join", { room: name });
  const { events, listener, until } = recorder();

  const rooms = connect(BASE).rooms;
  const room = await rooms.get(name);
  assert.equal(room.occupancy.current(), undefined);
  const { unsubscribe } = room.occupancy.subscribe(listener);
  assert.equal(room.occupancy.current(), undefined);
  await until(1);
  assert.deepEqual(room.occupancy.current(), counts(1));
  await server("enter", { room: name });
  while (room.occupancy.current().presenceMembers !== 1) await new Promise(setImmediate);
  assert.deepEqual(await room.occupancy.get(), counts(1, 1));
  unsubscribe();
  await server("await", { streams: 0 });
  events.length = 0;
  await server("join", { room: name });
  assert.deepEqual(events, []);
});

test("events have the specified shape and are read-only", async () => {
  const room = await connect(`${BASE}/`).rooms.get(newName());
  const first = recorder();
  let received;
  const a = room.occupancy.subscribe((event) => {
    assert.throws(() => (event.occupancy.connections = 7), TypeError);
    assert.throws(() => (event.type = "other"), TypeError);
    received = event;
    first.listener(event);
  });
  const second = recorder();
  const b = room.occupancy.subscribe(second.listener);
  assert.deepEqual(await first.next(), counts(0));
  assert.deepEqual(await second.next(), counts(0));
  assert.equal(JSON.stringify(received), '{"type":"occupancy.updated","occupancy":{"connections":0,"presenceMembers":0}}');
  assert.equal(JSON.stringify(room.occupancy.current()), '{"connections":0,"presenceMembers":0}');
  assert.equal(room.occupancy.current(), received.occupancy);
  a.unsubscribe();
  b.unsubscribe();
  assert.deepEqual(reported, []);
});

test("all rooms share one stream, and adding a room repeats no event", async () => {
  const opened = await server("opened");
  const { rooms } = connect(BASE);
  const names = [newName(), newName(), newName()];
  const recorders = [recorder(), recorder(), recorder()];
  const subscribe = async (i) => (await rooms.get(names[i])).occupancy.subscribe(recorders[i].listener);

  const subscriptions = [await subscribe(0), await subscribe(1)];
  assert.deepEqual(await recorders[0].next(), counts(0));
  assert.deepEqual(await recorders[1].next(), counts(0));
  assert.equal(await server("opened"), opened + 1);

  subscriptions.push(await subscribe(2));
  assert.deepEqual(await recorders[2].next(), counts(0));
  assert.equal(await server("await", { streams: 1 }), 1);
  await server("join", { room: names[0] });
  await server("join", { room: names[1] });
  assert.deepEqual(await recorders[0].next(), counts(1)); // the reconnect did not repeat counts(0)
  assert.deepEqual(await recorders[1].next(), counts(1));
  assert.equal(await server("opened"), opened + 2);

  subscriptions[0].unsubscribe();
  await server("await", { room: names[0], subscriptions: 0 });
  await server("join", { room: names[1] });
  assert.deepEqual(await recorders[1].next(), counts(2));
  for (const { unsubscribe } of subscriptions) unsubscribe();
});

test("changes during a reconnect are delivered", async () => {
  const { rooms } = connect(BASE);
  const name = newName();
  const a = recorder();
  const subscription = (await rooms.get(name)).occupancy.subscribe(a.listener);
  assert.deepEqual(await a.next(), counts(0));
  const others = [];
  for (let i = 1; i <= 20; i++) {
    others.push((await rooms.get(newName())).occupancy.subscribe(() => {}));
    await server("join", { room: name });
    await a.until(i);
  }
  subscription.unsubscribe();
  for (const { unsubscribe } of others) unsubscribe();
});

test("subscribing a listener twice creates two subscriptions, and unsubscribing twice has no effect", async () => {
  const name = newName();
  const { occupancy } = await connect(BASE).rooms.get(name);
  const { events, listener, next } = recorder();
  const a = occupancy.subscribe(listener);
  const b = occupancy.subscribe(listener);
  assert.deepEqual([await next(), await next()], [counts(0), counts(0)]);
  a.unsubscribe();
  a.unsubscribe();
  a.unsubscribe();
  await server("join", { room: name });
  assert.deepEqual(await next(), counts(1));
  assert.deepEqual(await occupancy.get(), counts(1)); // an event for the removed listener would arrive before this response
  assert.deepEqual(events, []);
  b.unsubscribe();
  b.unsubscribe();
});

test("the error of a listener is reported, and other listeners are called", async () => {
  const { occupancy } = await connect(BASE).rooms.get(newName());
  const oops = new Error("oops");
  const a = occupancy.subscribe(() => {
    throw oops;
  });
  const { listener, next } = recorder();
  const b = occupancy.subscribe(listener);
  assert.deepEqual(await next(), counts(0));
  assert.deepEqual(reported, [oops]);
  a.unsubscribe();
  b.unsubscribe();
  assert.throws(() => occupancy.subscribe("no function"), TypeError);
});

test("a new listener of a connected room receives the newest event once, unless it unsubscribes first", async () => {
  const name = newName();
  const { occupancy } = await connect(BASE).rooms.get(name);
  const first = recorder();
  const a = occupancy.subscribe(first.listener);
  await first.next();
  const opened = await server("opened");
  const second = recorder();
  const b = occupancy.subscribe(second.listener);
  const unsubscribed = recorder();
  occupancy.subscribe(unsubscribed.listener).unsubscribe();
  assert.deepEqual(second.events, []); // never before subscribe returns
  assert.deepEqual(await second.next(), counts(0));
  await server("join", { room: name });
  assert.deepEqual(await second.next(), counts(1));
  assert.deepEqual(unsubscribed.events, []);
  assert.deepEqual([first.events.length, await server("opened")], [1, opened]);
  a.unsubscribe();
  b.unsubscribe();
});

test("a listener can subscribe and unsubscribe other listeners", async () => {
  const { occupancy } = await connect(BASE).rooms.get(newName());
  const second = recorder();
  const added = recorder();
  let b, c;
  const a = occupancy.subscribe(() => {
    b.unsubscribe();
    c ??= occupancy.subscribe(added.listener);
  });
  b = occupancy.subscribe(second.listener);
  assert.deepEqual(await added.next(), counts(0));
  await occupancy.get();
  assert.deepEqual([second.events, added.events], [[], []]);
  a.unsubscribe();
  c.unsubscribe();
});

test("after the last listener unsubscribed, current is undefined until the first event of a new subscription", async () => {
  const name = newName();
  const { occupancy } = await connect(BASE).rooms.get(name);
  const first = recorder();
  const a = occupancy.subscribe(first.listener);
  const b = occupancy.subscribe(() => {});
  await first.next();
  a.unsubscribe();
  assert.deepEqual(occupancy.current(), counts(0)); // b is still subscribed
  b.unsubscribe();
  assert.equal(occupancy.current(), undefined);
  await server("await", { streams: 0 });
  await server("join", { room: name });
  const second = recorder();
  const c = occupancy.subscribe(second.listener);
  assert.equal(occupancy.current(), undefined);
  assert.deepEqual(await second.next(), counts(1));
  assert.deepEqual(occupancy.current(), counts(1));
  c.unsubscribe();
  assert.equal(occupancy.current(), undefined);
});

test("current is undefined for a room without listeners, and unchanged for the other room", async () => {
  const { rooms } = connect(BASE);
  const [a, b] = [await rooms.get(newName()), await rooms.get(newName())];
  const [first, second] = [recorder(), recorder()];
  const subscription = a.occupancy.subscribe(first.listener);
  const other = b.occupancy.subscribe(second.listener);
  await Promise.all([first.next(), second.next()]);
  subscription.unsubscribe();
  assert.deepEqual([a.occupancy.current(), b.occupancy.current()], [undefined, counts(0)]);
  await server("await", { room: a.name, subscriptions: 0 });
  await server("join", { room: a.name });
  const again = a.occupancy.subscribe(first.listener);
  assert.equal(a.occupancy.current(), undefined);
  assert.deepEqual(await first.next(), counts(1));
  again.unsubscribe();
  other.unsubscribe();
});

test("a listener that subscribes within the update delay receives the newest event, without a new stream", async () => {
  const { occupancy } = await connect(BASE).rooms.get(newName());
  const first = recorder();
  const a = occupancy.subscribe(first.listener);
  await first.next();
  const opened = await server("opened");
  a.unsubscribe();
  const second = recorder();
  const b = occupancy.subscribe(second.listener);
  assert.deepEqual(occupancy.current(), counts(0));
  assert.deepEqual(await second.next(), counts(0));
  assert.equal(await server("opened"), opened);
  b.unsubscribe();
});

test("the client reconnects to a restarted server and receives a new snapshot", async () => {
  const name = newName();
  const { occupancy } = await connect(BASE).rooms.get(name);
  const { listener, next } = recorder();
  const { unsubscribe } = occupancy.subscribe(listener);
  assert.deepEqual(await next(), counts(0));
  await server("stop");
  await assert.rejects(occupancy.get(), (error) => error.constructor === Error && error.message.includes(JSON.stringify(name)) && error.cause instanceof TypeError);
  assert.deepEqual(occupancy.current(), counts(0));
  await server("join", { room: name });
  await server("start");
  assert.deepEqual(await next(), counts(1));
  await server("stop");
  await server("start");
  assert.deepEqual(await next(), counts(1)); // delivered again, although the value is the same
  unsubscribe();
});

test("256 rooms use one stream, 257 rooms use two streams, and a stream without listeners closes", async () => {
  const { rooms } = connect(BASE);
  const subscriptions = [];
  const firstEvents = [];
  const add = async () => {
    const { listener, next } = recorder();
    subscriptions.push((await rooms.get(newName())).occupancy.subscribe(listener));
    firstEvents.push(next());
  };
  for (let i = 0; i < 256; i++) await add();
  for (const occupancy of await Promise.all(firstEvents)) assert.deepEqual(occupancy, counts(0));
  assert.equal(await server("await", { streams: 1 }), 1);
  await add();
  assert.deepEqual(await firstEvents[256], counts(0));
  assert.equal(await server("await", { streams: 2 }), 2);
  subscriptions[256].unsubscribe();
  assert.equal(await server("await", { streams: 1 }), 1);
  await add(); // the first stream is still full, so the client opens a new stream
  assert.deepEqual(await firstEvents[257], counts(0));
  for (const { unsubscribe } of subscriptions) unsubscribe();
});

test("rooms with long names are distributed among several streams", async () => {
  const { rooms } = connect(BASE);
  const urlLengths = [];
  const measured = connect(BASE, {
    fetch: (url, init) => {
      urlLengths.push(url.length);
      return fetch(url, init);
    },
  });
  const subscriptions = [];
  const firstEvents = [];
  for (let i = 0; i < 20; i++) {
    const { listener, next } = recorder();
    const name = `${newName()} ${"x".repeat(900)}`;
    subscriptions.push((await measured.rooms.get(name)).occupancy.subscribe(listener));
    firstEvents.push(next());
  }
  await Promise.all(firstEvents);
  assert.equal(urlLengths.length, 3);
  assert.ok(Math.max(...urlLengths) < 7200, `${urlLengths}`);
  for (const { unsubscribe } of subscriptions) unsubscribe();
});

test("a room is always the same object", async () => {
  const { rooms } = connect(BASE);
  assert.equal(await rooms.get("a"), await rooms.get("a"));
});

test("a refused room is reported, and the other rooms are connected", async () => {
  const { rooms } = connect(BASE);
  const [open, secret] = [newName(), `secret ${newName()}`];
  const a = recorder();
  const b = recorder();
  const first = (await rooms.get(open)).occupancy.subscribe(a.listener);
  assert.deepEqual(await a.next(), counts(0));
  const refused = await rooms.get(secret);
  const second = refused.occupancy.subscribe(b.listener);
  const tooLong = (await rooms.get("x".repeat(1025))).occupancy.subscribe(b.listener);
  await server("join", { room: open });
  await a.until(1);
  while (reported.length < 2) await new Promise(setImmediate);
  assert.deepEqual(reported.map(({ status, code }) => [status, code]).sort(), [[400, "bad_room_name"], [403, "forbidden"]]);
  assert.ok(reported.every((error) => error instanceof Error && /^occupancy: /.test(error.message)));
  assert.deepEqual([b.events, refused.occupancy.current()], [[], undefined]);

  await server("allow", { room: secret });
  const again = refused.occupancy.subscribe(b.listener);
  assert.deepEqual([await b.next(), await b.next()], [counts(0), counts(0)]); // both listeners of the room
  for (const { unsubscribe } of [first, second, again, tooLong]) unsubscribe();
});

test("a room that requires authentication does not block public rooms", async () => {
  const { rooms } = connect(BASE);
  const [open, members] = [newName(), `members ${newName()}`];
  const first = (await rooms.get(members)).occupancy.subscribe(() => {});
  const { listener, next } = recorder();
  const second = (await rooms.get(open)).occupancy.subscribe(listener);
  assert.deepEqual(await next(), counts(0));
  assert.deepEqual(reported.map(({ status, room }) => [status, room]), [[401, members]]);
  first.unsubscribe();
  second.unsubscribe();
});

test("get rejects with an Error that says what failed", async () => {
  const { rooms } = connect(BASE);
  const secret = await rooms.get(`secret ${newName()}`);
  await assert.rejects(secret.occupancy.get(), (error) => {
    assert.ok(error instanceof Error);
    assert.deepEqual([error.status, error.code], [403, "forbidden"]);
    assert.ok(error.message.includes(secret.name) && error.message.includes("403"), error.message);
    return true;
  });
  const tooLong = await rooms.get("x".repeat(1025));
  await assert.rejects(tooLong.occupancy.get(), { status: 400, code: "bad_room_name" });
  const nowhere = await connect(`${BASE}/nowhere`).rooms.get("a");
  await assert.rejects(nowhere.occupancy.get(), { status: 404 });
  const noJSON = await connect("", { fetch: async () => new Response("<p>Sign in") }).rooms.get("a");
  await assert.rejects(noJSON.occupancy.get(), (error) => error.constructor === Error && error.message.startsWith('occupancy: cannot get room "a": '));
  for (const name of ["", undefined, 7, "half \ud83d a pair"]) await assert.rejects(rooms.get(name), TypeError);
});

test("get returns partial: true if nodes are missing", async () => {
  const answer = new Response('{"connections":1,"presenceMembers":0}', { headers: { "Occupancy-Partial": "true" } });
  const { occupancy } = await connect("", { fetch: async () => answer }).rooms.get("a");
  assert.deepEqual(await occupancy.get(), { ...counts(1), partial: true });
});

/** Returns a fetch that answers each call with the next response. If no response is left, the call stays pending. */
const scripted = (...responses) => {
  const calls = [];
  const fetch = (url, { signal }) => {
    calls.push(url);
    const response = responses.shift();
    return new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
      if (response) resolve(response(signal));
    });
  };
  return { calls, fetch };
};

/** Returns a response that sends the chunks and then ends, or stays open. */
const streaming = (chunks, { headers, open } = {}) => (signal) =>
  new Response(
    new ReadableStream({
      start(controller) {
        for (const chunk of chunks) controller.enqueue(chunk);
        if (!open) controller.close();
        else signal.addEventListener("abort", () => controller.error(signal.reason));
      },
    }),
    { headers: { "Content-Type": "text/event-stream", ...headers } },
  );

const frame = (room, connections) =>
  new TextEncoder().encode(`event: occupancy.updated\nid: 1\ndata: ${JSON.stringify({ room, type: "occupancy.updated", occupancy: counts(connections) })}\n\n`);

/** Runs f with fake timers for the client: a timer fires only when f calls fire. */
const withFakeTimers = async (f) => {
  const { setTimeout, clearTimeout } = globalThis;
  const pending = new Map();
  let id = 0;
  globalThis.setTimeout = (call, ms, ...args) => {
    if (!new Error().stack.includes("/occupancy.js:")) return setTimeout(call, ms, ...args);
    pending.set(--id, { call, ms });
    return id;
  };
  globalThis.clearTimeout = (id) => pending.delete(id) || clearTimeout(id);
  /** Waits until the client has set a timer with a matching delay, and fires it. */
  const fire = async (matches) => {
    for (;;) {
      for (const [id, { call, ms }] of pending) {
        if (!matches(ms)) continue;
        pending.delete(id);
        call();
        return ms;
      }
      await new Promise(setImmediate);
    }
  };
  try {
    await f(fire, pending);
  } finally {
    Object.assign(globalThis, { setTimeout, clearTimeout });
  }
};
const isUpdateDelay = (ms) => ms === 10;
const isBackoff = (ms) => ms < 1e3 && ms !== 10;

test("events may be split into chunks at any byte", async () => {
  const room = "日本\n👋";
  const bytes = [...frame(room, 1), ...new TextEncoder().encode(":\n\n"), ...frame(room, 2)];
  const { fetch } = scripted(streaming(bytes.map((byte) => Uint8Array.of(byte)), { open: true }));
  const { occupancy } = await connect("", { fetch }).rooms.get(room);
  const { listener, next } = recorder();
  const { unsubscribe } = occupancy.subscribe(listener);
  assert.deepEqual([await next(), await next()], [counts(1), counts(2)]);
  unsubscribe();
});

test("retries use exponential backoff with jitter, and respect Retry-After", async () => {
  const { random } = Math;
  const jitter = [0.5, 0.25, 1, 1, 1, 1, 1, 0.25, 1];
  Math.random = () => jitter.shift();
  const unavailable = () => new Response('{"error":{"code":"stream_limit","message":"stream limit reached"}}', { status: 503, headers: { "Retry-After": "5" } });
  const down = () => Promise.reject(new TypeError("fetch failed"));
  const { calls, fetch } = scripted(down, down, down, down, down, down, down, unavailable, streaming([frame("a", 1)]));
  await withFakeTimers(async (fire) => {
    const { occupancy } = await connect("", { fetch }).rooms.get("a");
    const { listener, next } = recorder();
    const { unsubscribe } = occupancy.subscribe(listener);
    await fire(isUpdateDelay);
    const waits = [500, 500, 4e3, 8e3, 16e3, 30e3, 30e3, 12.5e3];
    for (const wait of waits) await fire((ms) => ms === wait);
    assert.deepEqual(await next(), counts(1));
    assert.equal(calls.length, waits.length + 1);
    await fire((ms) => ms === 1e3); // an event resets the backoff
    unsubscribe();
    await fire(isUpdateDelay);
  });
  Math.random = random;
  assert.deepEqual(reported, []);
});

test("the client reconnects a stream that does not start or stops sending", async () => {
  const headers = { "Occupancy-Heartbeat": "15" };
  const { calls, fetch } = scripted(undefined, streaming([frame("a", 1)], { headers, open: true }), streaming([frame("a", 2)], { open: true }));
  await withFakeTimers(async (fire, pending) => {
    const { occupancy } = await connect("", { fetch }).rooms.get("a");
    const { listener, next } = recorder();
    const { unsubscribe } = occupancy.subscribe(listener);
    await fire(isUpdateDelay);
    await fire((ms) => ms === 20e3);
    await fire(isBackoff);
    assert.deepEqual(await next(), counts(1));
    await fire((ms) => ms === 45e3);
    await fire(isBackoff);
    assert.deepEqual(await next(), counts(2));
    assert.equal(calls.length, 3);
    await new Promise(setImmediate);
    assert.deepEqual([...pending.values()].filter(({ ms }) => ms > 10), []); // without heartbeats there is no timeout
    unsubscribe();
    await fire(isUpdateDelay);
  });
});

test("the client reconnects immediately when the browser comes online", async () => {
  const target = new EventTarget();
  let listeners = 0;
  Object.assign(globalThis, {
    addEventListener: (type, ...args) => ((listeners += type === "online"), target.addEventListener(type, ...args)),
    removeEventListener: (type, ...args) => ((listeners -= type === "online"), target.removeEventListener(type, ...args)),
  });
  const { fetch } = scripted(() => Promise.reject(new TypeError("offline")), streaming([frame("a", 1)], { open: true }));
  await withFakeTimers(async (fire) => {
    const { occupancy } = await connect("", { fetch }).rooms.get("a");
    const { listener, next } = recorder();
    const { unsubscribe } = occupancy.subscribe(listener);
    await fire(isUpdateDelay);
    while (!listeners) await new Promise(setImmediate);
    target.dispatchEvent(new Event("online"));
    assert.deepEqual(await next(), counts(1));
    assert.equal(listeners, 0);
    unsubscribe();
    await fire(isUpdateDelay);
  });
  delete globalThis.addEventListener;
  delete globalThis.removeEventListener;
});

test("a page in the back/forward cache has no stream, and reconnects when it is shown", async () => {
  const target = new EventTarget();
  globalThis.addEventListener = target.addEventListener.bind(target);
  const names = [newName(), newName(), newName()];
  const recorders = [recorder(), recorder(), recorder()];
  const { rooms } = connect(BASE);
  const subscribe = async (i) => (await rooms.get(names[i])).occupancy.subscribe(recorders[i].listener);
  const subscriptions = [await subscribe(0), await subscribe(1)];
  assert.deepEqual([await recorders[0].next(), await recorders[1].next()], [counts(0), counts(0)]);
  const opened = await server("opened");
  target.dispatchEvent(new Event("pagehide"));
  await server("await", { streams: 0 });
  await server("join", { room: names[0] });
  subscriptions[1].unsubscribe();
  subscriptions.push(await subscribe(2));
  assert.equal(await server("opened"), opened);
  target.dispatchEvent(new Event("pageshow"));
  assert.deepEqual([await recorders[0].next(), await recorders[2].next()], [counts(1), counts(0)]);
  assert.deepEqual([await server("opened"), recorders[1].events], [opened + 1, []]);

  target.dispatchEvent(new Event("pagehide"));
  for (const { unsubscribe } of subscriptions) unsubscribe();
  target.dispatchEvent(new Event("pageshow"));
  await server("await", { streams: 0 });
  delete globalThis.addEventListener;
});

test("unsubscribing while the server is down clears all timers", async () => {
  const { calls, fetch } = scripted(() => Promise.reject(new TypeError("down")));
  await withFakeTimers(async (fire, pending) => {
    const { occupancy } = await connect("", { fetch }).rooms.get("a");
    const { unsubscribe } = occupancy.subscribe(() => {});
    await fire(isUpdateDelay);
    while (![...pending.values()].some(({ ms }) => isBackoff(ms))) await new Promise(setImmediate);
    unsubscribe();
    await fire(isUpdateDelay);
    await new Promise(setImmediate);
    assert.deepEqual([pending.size, calls.length], [0, 1]);
  });
});

test("status 401 for the whole stream is reported, and the client retries", async () => {
  const refused = () => new Response('{"error":{"code":"unauthorized","message":"authentication required"}}', { status: 401 });
  const { fetch } = scripted(refused, streaming([frame("a", 1)], { open: true }));
  await withFakeTimers(async (fire) => {
    const { occupancy } = await connect("", { fetch }).rooms.get("a");
    const { listener, next } = recorder();
    const { unsubscribe } = occupancy.subscribe(listener);
    await fire(isUpdateDelay);
    await fire(isBackoff);
    assert.deepEqual(await next(), counts(1));
    assert.deepEqual(reported.map(({ message }) => message), ["occupancy: cannot open the stream: authentication required (401)"]);
    unsubscribe();
    await fire(isUpdateDelay);
  });
});

test("a response with another content type is reported", async () => {
  const page = () => new Response("<!doctype html>", { headers: { "Content-Type": "text/html" } });
  const { fetch } = scripted(page, streaming([frame("a", 1)], { open: true }));
  await withFakeTimers(async (fire) => {
    const { occupancy } = await connect("/wrong", { fetch }).rooms.get("a");
    const { listener, next } = recorder();
    const { unsubscribe } = occupancy.subscribe(listener);
    await fire(isUpdateDelay);
    await fire(isBackoff);
    assert.deepEqual(await next(), counts(1));
    assert.deepEqual(reported.map(({ message }) => message), ["occupancy: cannot open the stream: unexpected content type text/html (200)"]);
    unsubscribe();
    await fire(isUpdateDelay);
  });
});

test("without reportError, the error of a listener is thrown in a timer, and other listeners are called", async () => {
  const { reportError } = globalThis;
  delete globalThis.reportError;
  const { fetch } = scripted(streaming([frame("a", 1)], { open: true }));
  await withFakeTimers(async (fire, pending) => {
    const { occupancy } = await connect("", { fetch }).rooms.get("a");
    const oops = new Error("oops");
    const a = occupancy.subscribe(() => {
      throw oops;
    });
    const { listener, next } = recorder();
    const b = occupancy.subscribe(listener);
    await fire(isUpdateDelay);
    assert.deepEqual(await next(), counts(1));
    const [thrown] = [...pending.values()].filter(({ ms }) => ms === undefined);
    assert.throws(thrown.call, oops);
    a.unsubscribe();
    b.unsubscribe();
    await fire(isUpdateDelay);
  });
  globalThis.reportError = reportError;
});

test("a connection that is being opened is not aborted when a room is added", async () => {
  let respond;
  const pendingResponse = (signal) => new Promise((resolve) => (respond = () => resolve(streaming([frame("a", 1)], { open: true })(signal))));
  const { calls, fetch } = scripted(pendingResponse, streaming([frame("a", 1), frame("b", 2)], { open: true }));
  await withFakeTimers(async (fire) => {
    const { rooms } = connect("", { fetch });
    const [a, b] = [recorder(), recorder()];
    const first = (await rooms.get("a")).occupancy.subscribe(a.listener);
    await fire(isUpdateDelay);
    const second = (await rooms.get("b")).occupancy.subscribe(b.listener);
    await fire(isUpdateDelay);
    await new Promise(setImmediate);
    assert.equal(calls.length, 1);
    respond();
    assert.deepEqual(await a.next(), counts(1));
    await fire(isUpdateDelay); // the client reconnects with both rooms
    assert.deepEqual(await b.next(), counts(2));
    assert.deepEqual([calls.length, a.events], [2, []]);
    first.unsubscribe();
    second.unsubscribe();
    await fire(isUpdateDelay);
  });
});

test("a listener that subscribes while the server is down receives no stale event", async () => {
  const { fetch } = scripted(streaming([frame("a", 1)]), streaming([frame("a", 2)], { open: true }));
  await withFakeTimers(async (fire, pending) => {
    const { occupancy } = await connect("", { fetch }).rooms.get("a");
    const [first, second] = [recorder(), recorder()];
    const a = occupancy.subscribe(first.listener);
    await fire(isUpdateDelay);
    assert.deepEqual(await first.next(), counts(1));
    while (![...pending.values()].some(({ ms }) => isBackoff(ms))) await new Promise(setImmediate);
    const b = occupancy.subscribe(second.listener);
    await new Promise(setImmediate);
    assert.deepEqual(second.events, []);
    await fire(isBackoff);
    assert.deepEqual([await first.next(), await second.next()], [counts(2), counts(2)]);
    a.unsubscribe();
    b.unsubscribe();
    await fire(isUpdateDelay);
  });
});

test("current is undefined when a room is subscribed again while the server is down", async () => {
  const { fetch } = scripted(streaming([frame("a", 1), frame("b", 1)]), streaming([frame("a", 1), frame("b", 1)], { open: true }));
  await withFakeTimers(async (fire, pending) => {
    const { rooms } = connect("", { fetch });
    const [a, b] = [(await rooms.get("a")).occupancy, (await rooms.get("b")).occupancy];
    const [first, second] = [recorder(), recorder()];
    const subscription = a.subscribe(first.listener);
    const other = b.subscribe(() => {});
    await fire(isUpdateDelay);
    assert.deepEqual(await first.next(), counts(1));
    while (![...pending.values()].some(({ ms }) => isBackoff(ms))) await new Promise(setImmediate);
    assert.deepEqual(a.current(), counts(1)); // the last value received
    subscription.unsubscribe();
    const again = a.subscribe(second.listener);
    assert.deepEqual([a.current(), b.current()], [undefined, counts(1)]);
    await fire(isBackoff);
    assert.deepEqual(await second.next(), counts(1)); // the same value as before the outage
    assert.deepEqual(a.current(), counts(1));
    again.unsubscribe();
    other.unsubscribe();
    await fire(isUpdateDelay);
  });
});

test("current is undefined when a room is subscribed again during a reconnect", async () => {
  const { calls, fetch } = scripted(streaming([frame("a", 1)], { open: true }), undefined, streaming([frame("a", 1), frame("b", 1)], { open: true }));
  await withFakeTimers(async (fire) => {
    const { rooms } = connect("", { fetch });
    const [a, b] = [(await rooms.get("a")).occupancy, (await rooms.get("b")).occupancy];
    const [first, second] = [recorder(), recorder()];
    const subscription = a.subscribe(first.listener);
    await fire(isUpdateDelay);
    assert.deepEqual(await first.next(), counts(1));
    const other = b.subscribe(() => {});
    await fire(isUpdateDelay);
    while (calls.length < 2) await new Promise(setImmediate); // this request stays pending
    subscription.unsubscribe();
    const again = a.subscribe(second.listener);
    assert.equal(a.current(), undefined);
    await fire((ms) => ms === 20e3);
    await fire(isBackoff);
    assert.deepEqual(await second.next(), counts(1));
    again.unsubscribe();
    other.unsubscribe();
    await fire(isUpdateDelay);
  });
});

test("current is undefined after a reconnect in which the room is refused", async () => {
  const forbidden = () => new Response('{"error":{"code":"forbidden","message":"access to this room is denied","room":"a"}}', { status: 403 });
  const { fetch } = scripted(streaming([frame("a", 1)]), forbidden);
  await withFakeTimers(async (fire) => {
    const { occupancy } = await connect("", { fetch }).rooms.get("a");
    const { listener, next } = recorder();
    const { unsubscribe } = occupancy.subscribe(listener);
    await fire(isUpdateDelay);
    assert.deepEqual(await next(), counts(1));
    await fire(isBackoff);
    while (!reported.length) await new Promise(setImmediate);
    assert.deepEqual(reported.map(({ message }) => message), ["occupancy: cannot open the stream: access to this room is denied (403)"]);
    assert.equal(occupancy.current(), undefined);
    unsubscribe();
  });
});

test("the functions work without a this value", async () => {
  const { occupancy } = await connect(BASE).rooms.get(newName());
  const { subscribe, current } = occupancy;
  const { listener, next } = recorder();
  const { unsubscribe } = subscribe(listener);
  assert.deepEqual(await next(), counts(0));
  assert.deepEqual(current(), counts(0));
  unsubscribe();
});
