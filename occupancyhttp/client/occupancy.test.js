// Run by client_test.go, which serves the real handler at BASE and takes commands at CONTROL.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { connect } from "./occupancy.js";

const { BASE, CONTROL } = process.env;

/** Has the server do something: it answers when that is done. */
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
afterEach(() => server("await", { streams: 0 })); // no test leaves a stream behind

/** A listener, and the next event that it is or was called with. */
const ear = () => {
  const heard = [];
  let wake = () => {};
  const listen = (event) => {
    heard.push(event);
    wake();
  };
  const next = async () => {
    while (!heard.length) await new Promise((resolve) => (wake = resolve));
    return heard.shift().occupancy;
  };
  const until = async (connections) => {
    while ((await next()).connections !== connections);
  };
  return { heard, listen, next, until };
};

let names = 0;
const newName = () => `room ${++names}/ü`;
const is = (connections, presenceMembers = 0) => ({ connections, presenceMembers });

test("the lines of the documentation", async () => {
  const name = newName();
  await server("join", { room: name });
  const { heard, listen, until } = ear();

  const rooms = connect(BASE).rooms;
  const room = await rooms.get(name);
  assert.equal(room.occupancy.current(), undefined);
  const { unsubscribe } = room.occupancy.subscribe(listen);
  assert.equal(room.occupancy.current(), undefined);
  await until(1);
  const event = { type: "occupancy.updated", occupancy: is(1) };
  assert.deepEqual(room.occupancy.current(), event);
  await server("enter", { room: name });
  while (room.occupancy.current().occupancy.presenceMembers !== 1) await new Promise(setImmediate);
  assert.deepEqual(await room.occupancy.get(), is(1, 1));
  unsubscribe();
  await server("await", { streams: 0 });
  heard.length = 0;
  await server("join", { room: name });
  assert.deepEqual(heard, []);
});

test("an event is what the contract says, and nobody can change it for others", async () => {
  const room = await connect(`${BASE}/`).rooms.get(newName());
  const first = ear();
  const a = room.occupancy.subscribe((event) => {
    assert.throws(() => (event.occupancy.connections = 7), TypeError);
    assert.throws(() => (event.type = "other"), TypeError);
    first.listen(event);
  });
  const second = ear();
  const b = room.occupancy.subscribe(second.listen);
  assert.deepEqual(await first.next(), is(0));
  assert.deepEqual(await second.next(), is(0));
  assert.equal(JSON.stringify(room.occupancy.current()), '{"type":"occupancy.updated","occupancy":{"connections":0,"presenceMembers":0}}');
  a.unsubscribe();
  b.unsubscribe();
  assert.deepEqual(reported, []);
});

test("all rooms of a page share one stream, and nobody is told twice when it moves", async () => {
  const opened = await server("opened");
  const { rooms } = connect(BASE);
  const names = [newName(), newName(), newName()];
  const ears = [ear(), ear(), ear()];
  const subscribe = async (i) => (await rooms.get(names[i])).occupancy.subscribe(ears[i].listen);

  const subscriptions = [await subscribe(0), await subscribe(1)];
  assert.deepEqual(await ears[0].next(), is(0));
  assert.deepEqual(await ears[1].next(), is(0));
  assert.equal(await server("opened"), opened + 1);

  subscriptions.push(await subscribe(2));
  assert.deepEqual(await ears[2].next(), is(0));
  assert.equal(await server("await", { streams: 1 }), 1);
  await server("join", { room: names[0] });
  await server("join", { room: names[1] });
  assert.deepEqual(await ears[0].next(), is(1)); // and not 0 again
  assert.deepEqual(await ears[1].next(), is(1));
  assert.equal(await server("opened"), opened + 2);

  subscriptions[0].unsubscribe();
  await server("await", { room: names[0], subscriptions: 0 });
  await server("join", { room: names[1] });
  assert.deepEqual(await ears[1].next(), is(2));
  for (const { unsubscribe } of subscriptions) unsubscribe();
});

test("what changes while the stream moves is told", async () => {
  const { rooms } = connect(BASE);
  const name = newName();
  const a = ear();
  const subscription = (await rooms.get(name)).occupancy.subscribe(a.listen);
  assert.deepEqual(await a.next(), is(0));
  const others = [];
  for (let i = 1; i <= 20; i++) {
    others.push((await rooms.get(newName())).occupancy.subscribe(() => {}));
    await server("join", { room: name });
    await a.until(i);
  }
  subscription.unsubscribe();
  for (const { unsubscribe } of others) unsubscribe();
});

test("the same listener twice is two subscriptions, and to unsubscribe twice is harmless", async () => {
  const name = newName();
  const { occupancy } = await connect(BASE).rooms.get(name);
  const { heard, listen, next } = ear();
  const a = occupancy.subscribe(listen);
  const b = occupancy.subscribe(listen);
  assert.deepEqual([await next(), await next()], [is(0), is(0)]);
  a.unsubscribe();
  a.unsubscribe();
  a.unsubscribe();
  await server("join", { room: name });
  assert.deepEqual(await next(), is(1));
  assert.deepEqual(await occupancy.get(), is(1)); // a round trip, in which a second call would come
  assert.deepEqual(heard, []);
  b.unsubscribe();
  b.unsubscribe();
});

test("a listener that throws harms no other and is reported", async () => {
  const { occupancy } = await connect(BASE).rooms.get(newName());
  const oops = new Error("oops");
  const a = occupancy.subscribe(() => {
    throw oops;
  });
  const { listen, next } = ear();
  const b = occupancy.subscribe(listen);
  assert.deepEqual(await next(), is(0));
  assert.deepEqual(reported, [oops]);
  a.unsubscribe();
  b.unsubscribe();
  assert.throws(() => occupancy.subscribe("no function"), TypeError);
});

test("a late listener is told what is known, once, and not if it has left", async () => {
  const name = newName();
  const { occupancy } = await connect(BASE).rooms.get(name);
  const first = ear();
  const a = occupancy.subscribe(first.listen);
  await first.next();
  const opened = await server("opened");
  const late = ear();
  const b = occupancy.subscribe(late.listen);
  const left = ear();
  occupancy.subscribe(left.listen).unsubscribe();
  assert.deepEqual(late.heard, []); // never before subscribe returns
  assert.deepEqual(await late.next(), is(0));
  await server("join", { room: name });
  assert.deepEqual(await late.next(), is(1));
  assert.deepEqual(left.heard, []);
  assert.deepEqual([first.heard.length, await server("opened")], [1, opened]);
  a.unsubscribe();
  b.unsubscribe();
});

test("listeners may come and go while listeners are called", async () => {
  const { occupancy } = await connect(BASE).rooms.get(newName());
  const second = ear();
  const added = ear();
  let b, c;
  const a = occupancy.subscribe(() => {
    b.unsubscribe();
    c ??= occupancy.subscribe(added.listen);
  });
  b = occupancy.subscribe(second.listen);
  assert.deepEqual(await added.next(), is(0));
  await occupancy.get();
  assert.deepEqual([second.heard, added.heard], [[], []]);
  a.unsubscribe();
  c.unsubscribe();
});

test("who comes back to a room hears what it is now, not what it was", async () => {
  const name = newName();
  const { occupancy } = await connect(BASE).rooms.get(name);
  const a = ear();
  const before = occupancy.subscribe(a.listen);
  await a.next();
  before.unsubscribe();
  await server("await", { streams: 0 });
  await server("join", { room: name });
  const b = ear();
  const after = occupancy.subscribe(b.listen);
  assert.deepEqual(await b.next(), is(1));
  after.unsubscribe();
});

test("a server that was killed and comes back is found, with a fresh snapshot", async () => {
  const name = newName();
  const { occupancy } = await connect(BASE).rooms.get(name);
  const { listen, next } = ear();
  const { unsubscribe } = occupancy.subscribe(listen);
  assert.deepEqual(await next(), is(0));
  await server("stop");
  await assert.rejects(occupancy.get(), (error) => error.constructor === Error && error.message.includes(JSON.stringify(name)) && error.cause instanceof TypeError);
  assert.deepEqual(occupancy.current().occupancy, is(0));
  await server("join", { room: name });
  await server("start");
  assert.deepEqual(await next(), is(1));
  await server("stop");
  await server("start");
  assert.deepEqual(await next(), is(1)); // told again, though it is the same
  unsubscribe();
});

test("256 rooms are one stream and 257 are two, which close with their last listeners", async () => {
  const { rooms } = connect(BASE);
  const subscriptions = [];
  const waiting = [];
  const add = async () => {
    const { listen, next } = ear();
    subscriptions.push((await rooms.get(newName())).occupancy.subscribe(listen));
    waiting.push(next());
  };
  for (let i = 0; i < 256; i++) await add();
  for (const occupancy of await Promise.all(waiting)) assert.deepEqual(occupancy, is(0));
  assert.equal(await server("await", { streams: 1 }), 1);
  await add();
  assert.deepEqual(await waiting[256], is(0));
  assert.equal(await server("await", { streams: 2 }), 2);
  subscriptions[256].unsubscribe();
  assert.equal(await server("await", { streams: 1 }), 1);
  await add(); // the first has still no space, the second is a new one
  assert.deepEqual(await waiting[257], is(0));
  for (const { unsubscribe } of subscriptions) unsubscribe();
});

test("names that no proxy takes in one address are divided", async () => {
  const { rooms } = connect(BASE);
  const addresses = [];
  const long = connect(BASE, {
    fetch: (url, init) => {
      addresses.push(url.length);
      return fetch(url, init);
    },
  });
  const subscriptions = [];
  const waiting = [];
  for (let i = 0; i < 20; i++) {
    const { listen, next } = ear();
    const name = `${newName()} ${"x".repeat(900)}`;
    subscriptions.push((await long.rooms.get(name)).occupancy.subscribe(listen));
    waiting.push(next());
  }
  await Promise.all(waiting);
  assert.equal(addresses.length, 3);
  assert.ok(Math.max(...addresses) < 7200, `${addresses}`);
  for (const { unsubscribe } of subscriptions) unsubscribe();
  assert.equal(await rooms.get("a"), await rooms.get("a"));
});

test("a refused room is reported and harms no other", async () => {
  const { rooms } = connect(BASE);
  const [open, secret] = [newName(), `secret ${newName()}`];
  const a = ear();
  const b = ear();
  const first = (await rooms.get(open)).occupancy.subscribe(a.listen);
  assert.deepEqual(await a.next(), is(0));
  const refused = await rooms.get(secret);
  const second = refused.occupancy.subscribe(b.listen);
  const tooLong = (await rooms.get("x".repeat(1025))).occupancy.subscribe(b.listen);
  await server("join", { room: open });
  await a.until(1);
  while (reported.length < 2) await new Promise(setImmediate);
  assert.deepEqual(reported.map(({ status, code }) => [status, code]).sort(), [[400, "bad_room_name"], [403, "forbidden"]]);
  assert.ok(reported.every((error) => error instanceof Error && /^occupancy: /.test(error.message)));
  assert.deepEqual([b.heard, refused.occupancy.current()], [[], undefined]);

  await server("allow", { room: secret });
  const again = refused.occupancy.subscribe(b.listen);
  assert.deepEqual([await b.next(), await b.next()], [is(0), is(0)]); // both listeners of it
  for (const { unsubscribe } of [first, second, again, tooLong]) unsubscribe();
});

test("a room that one must sign in for keeps nobody from those that are open", async () => {
  const { rooms } = connect(BASE);
  const [open, members] = [newName(), `members ${newName()}`];
  const first = (await rooms.get(members)).occupancy.subscribe(() => {});
  const { listen, next } = ear();
  const second = (await rooms.get(open)).occupancy.subscribe(listen);
  assert.deepEqual(await next(), is(0));
  assert.deepEqual(reported.map(({ status, room }) => [status, room]), [[401, members]]);
  first.unsubscribe();
  second.unsubscribe();
});

test("get rejects with a clear Error", async () => {
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
  await assert.rejects(noJSON.occupancy.get(), (error) => error.constructor === Error && error.message.startsWith('occupancy: room "a": '));
  for (const name of ["", undefined, 7, "half \ud83d a pair"]) await assert.rejects(rooms.get(name), TypeError);
});

test("an answer without some nodes is partial", async () => {
  const answer = new Response('{"connections":1,"presenceMembers":0}', { headers: { "Occupancy-Partial": "true" } });
  const { occupancy } = await connect("", { fetch: async () => answer }).rooms.get("a");
  assert.deepEqual(await occupancy.get(), { ...is(1), partial: true });
});

/** A server that is scripted: each stream's answer is the next of answers. */
const scripted = (...answers) => {
  const calls = [];
  const fetch = (url, { signal }) => {
    calls.push(url);
    const answer = answers.shift(); // or none, ever
    return new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
      if (answer) resolve(answer(signal));
    });
  };
  return { calls, fetch };
};

/** An answer that sends chunks and then ends, or stays open. */
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
  new TextEncoder().encode(`event: occupancy.updated\nid: 1\ndata: ${JSON.stringify({ room, type: "occupancy.updated", occupancy: is(connections) })}\n\n`);

/** Runs f with a clock that stands still for the client, but for those timers that f lets go. */
const withClock = async (f) => {
  const { setTimeout, clearTimeout } = globalThis;
  const pending = new Map();
  let id = 0;
  globalThis.setTimeout = (call, ms, ...args) => {
    if (!new Error().stack.includes("/occupancy.js:")) return setTimeout(call, ms, ...args);
    pending.set(--id, { call, ms });
    return id;
  };
  globalThis.clearTimeout = (id) => pending.delete(id) || clearTimeout(id);
  /** Waits for a timer for which which(ms) is true, and lets it go. */
  const fire = async (which) => {
    for (;;) {
      for (const [id, { call, ms }] of pending) {
        if (!which(ms)) continue;
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
const settling = (ms) => ms === 10;
const resting = (ms) => ms < 1e3 && ms !== 10;

test("a stream may be cut into chunks anywhere", async () => {
  const room = "日本\n👋";
  const bytes = [...frame(room, 1), ...new TextEncoder().encode(":\n\n"), ...frame(room, 2)];
  const { fetch } = scripted(streaming(bytes.map((byte) => Uint8Array.of(byte)), { open: true }));
  const { occupancy } = await connect("", { fetch }).rooms.get(room);
  const { listen, next } = ear();
  const { unsubscribe } = occupancy.subscribe(listen);
  assert.deepEqual([await next(), await next()], [is(1), is(2)]);
  unsubscribe();
});

test("attempts are spread out, ever further, and a Retry-After is kept", async () => {
  const { random } = Math;
  const jitter = [0.5, 0.25, 1, 1, 1, 1, 1, 0.25, 1];
  Math.random = () => jitter.shift();
  const busy = () => new Response('{"error":{"code":"too_many_streams","message":"full"}}', { status: 503, headers: { "Retry-After": "5" } });
  const down = () => Promise.reject(new TypeError("fetch failed"));
  const { calls, fetch } = scripted(down, down, down, down, down, down, down, busy, streaming([frame("a", 1)]));
  await withClock(async (fire) => {
    const { occupancy } = await connect("", { fetch }).rooms.get("a");
    const { listen, next } = ear();
    const { unsubscribe } = occupancy.subscribe(listen);
    await fire(settling);
    const waits = [500, 500, 4e3, 8e3, 16e3, 30e3, 30e3, 12.5e3];
    for (const wait of waits) await fire((ms) => ms === wait);
    assert.deepEqual(await next(), is(1));
    assert.equal(calls.length, waits.length + 1);
    await fire((ms) => ms === 1e3); // after an event it begins anew
    unsubscribe();
    await fire(settling);
  });
  Math.random = random;
  assert.deepEqual(reported, []);
});

test("a stream that falls silent, or never begins, is given up", async () => {
  const headers = { "Occupancy-Heartbeat": "15" };
  const { calls, fetch } = scripted(undefined, streaming([frame("a", 1)], { headers, open: true }), streaming([frame("a", 2)], { open: true }));
  await withClock(async (fire, pending) => {
    const { occupancy } = await connect("", { fetch }).rooms.get("a");
    const { listen, next } = ear();
    const { unsubscribe } = occupancy.subscribe(listen);
    await fire(settling);
    await fire((ms) => ms === 20e3);
    await fire(resting);
    assert.deepEqual(await next(), is(1));
    await fire((ms) => ms === 45e3);
    await fire(resting);
    assert.deepEqual(await next(), is(2));
    assert.equal(calls.length, 3);
    await new Promise(setImmediate);
    assert.deepEqual([...pending.values()].filter(({ ms }) => ms > 10), []); // without heartbeats silence means nothing
    unsubscribe();
    await fire(settling);
  });
});

test("a browser that comes online tries at once", async () => {
  const target = new EventTarget();
  let listeners = 0;
  Object.assign(globalThis, {
    addEventListener: (type, ...args) => ((listeners += type === "online"), target.addEventListener(type, ...args)),
    removeEventListener: (type, ...args) => ((listeners -= type === "online"), target.removeEventListener(type, ...args)),
  });
  const { fetch } = scripted(() => Promise.reject(new TypeError("offline")), streaming([frame("a", 1)], { open: true }));
  await withClock(async (fire) => {
    const { occupancy } = await connect("", { fetch }).rooms.get("a");
    const { listen, next } = ear();
    const { unsubscribe } = occupancy.subscribe(listen);
    await fire(settling);
    while (!listeners) await new Promise(setImmediate);
    target.dispatchEvent(new Event("online"));
    assert.deepEqual(await next(), is(1));
    assert.equal(listeners, 0);
    unsubscribe();
    await fire(settling);
  });
  delete globalThis.addEventListener;
  delete globalThis.removeEventListener;
});

test("a page that is left and kept has no stream, and has one again when it is shown", async () => {
  const target = new EventTarget();
  globalThis.addEventListener = target.addEventListener.bind(target);
  const names = [newName(), newName(), newName()];
  const ears = [ear(), ear(), ear()];
  const { rooms } = connect(BASE);
  const subscribe = async (i) => (await rooms.get(names[i])).occupancy.subscribe(ears[i].listen);
  const subscriptions = [await subscribe(0), await subscribe(1)];
  assert.deepEqual([await ears[0].next(), await ears[1].next()], [is(0), is(0)]);
  const opened = await server("opened");
  target.dispatchEvent(new Event("pagehide"));
  await server("await", { streams: 0 });
  await server("join", { room: names[0] });
  subscriptions[1].unsubscribe();
  subscriptions.push(await subscribe(2));
  assert.equal(await server("opened"), opened);
  target.dispatchEvent(new Event("pageshow"));
  assert.deepEqual([await ears[0].next(), await ears[2].next()], [is(1), is(0)]);
  assert.deepEqual([await server("opened"), ears[1].heard], [opened + 1, []]);

  target.dispatchEvent(new Event("pagehide"));
  for (const { unsubscribe } of subscriptions) unsubscribe();
  target.dispatchEvent(new Event("pageshow"));
  await server("await", { streams: 0 });
  delete globalThis.addEventListener;
});

test("who unsubscribes while the server is down leaves nothing that waits", async () => {
  const { calls, fetch } = scripted(() => Promise.reject(new TypeError("down")));
  await withClock(async (fire, pending) => {
    const { occupancy } = await connect("", { fetch }).rooms.get("a");
    const { unsubscribe } = occupancy.subscribe(() => {});
    await fire(settling);
    while (![...pending.values()].some(({ ms }) => resting(ms))) await new Promise(setImmediate);
    unsubscribe();
    await fire(settling);
    await new Promise(setImmediate);
    assert.deepEqual([pending.size, calls.length], [0, 1]);
  });
});

test("a stream that is refused for who asks is reported, and tried again", async () => {
  const refused = () => new Response('{"error":{"code":"unauthorized","message":"say who you are"}}', { status: 401 });
  const { fetch } = scripted(refused, streaming([frame("a", 1)], { open: true }));
  await withClock(async (fire) => {
    const { occupancy } = await connect("", { fetch }).rooms.get("a");
    const { listen, next } = ear();
    const { unsubscribe } = occupancy.subscribe(listen);
    await fire(settling);
    await fire(resting);
    assert.deepEqual(await next(), is(1));
    assert.deepEqual(reported.map(({ message }) => message), ["occupancy: no stream: say who you are (401)"]);
    unsubscribe();
    await fire(settling);
  });
});

test("a page in place of a stream is reported", async () => {
  const page = () => new Response("<!doctype html>", { headers: { "Content-Type": "text/html" } }); // as of a server that answers everything so
  const { fetch } = scripted(page, streaming([frame("a", 1)], { open: true }));
  await withClock(async (fire) => {
    const { occupancy } = await connect("/wrong", { fetch }).rooms.get("a");
    const { listen, next } = ear();
    const { unsubscribe } = occupancy.subscribe(listen);
    await fire(settling);
    await fire(resting);
    assert.deepEqual(await next(), is(1));
    assert.deepEqual(reported.map(({ message }) => message), ["occupancy: no stream: this is text/html (200)"]);
    unsubscribe();
    await fire(settling);
  });
});

test("without reportError, what a listener throws is thrown later, and still harms nobody", async () => {
  const { reportError } = globalThis;
  delete globalThis.reportError;
  const { fetch } = scripted(streaming([frame("a", 1)], { open: true }));
  await withClock(async (fire, pending) => {
    const { occupancy } = await connect("", { fetch }).rooms.get("a");
    const oops = new Error("oops");
    const a = occupancy.subscribe(() => {
      throw oops;
    });
    const { listen, next } = ear();
    const b = occupancy.subscribe(listen);
    await fire(settling);
    assert.deepEqual(await next(), is(1));
    const [thrown] = [...pending.values()].filter(({ ms }) => ms === undefined);
    assert.throws(thrown.call, oops);
    a.unsubscribe();
    b.unsubscribe();
    await fire(settling);
  });
  globalThis.reportError = reportError;
});

test("a set of rooms that changes all the time starves nobody: what is opening may open", async () => {
  let answer;
  const opening = (signal) => new Promise((resolve) => (answer = () => resolve(streaming([frame("a", 1)], { open: true })(signal))));
  const { calls, fetch } = scripted(opening, streaming([frame("a", 1), frame("b", 2)], { open: true }));
  await withClock(async (fire) => {
    const { rooms } = connect("", { fetch });
    const [a, b] = [ear(), ear()];
    const first = (await rooms.get("a")).occupancy.subscribe(a.listen);
    await fire(settling);
    const second = (await rooms.get("b")).occupancy.subscribe(b.listen);
    await fire(settling);
    await new Promise(setImmediate);
    assert.equal(calls.length, 1);
    answer();
    assert.deepEqual(await a.next(), is(1));
    await fire(settling); // now the other is taken in
    assert.deepEqual(await b.next(), is(2));
    assert.deepEqual([calls.length, a.heard], [2, []]);
    first.unsubscribe();
    second.unsubscribe();
    await fire(settling);
  });
});

test("who comes while the server is down hears nothing that is stale", async () => {
  const { fetch } = scripted(streaming([frame("a", 1)]), streaming([frame("a", 2)], { open: true }));
  await withClock(async (fire, pending) => {
    const { occupancy } = await connect("", { fetch }).rooms.get("a");
    const [first, late] = [ear(), ear()];
    const a = occupancy.subscribe(first.listen);
    await fire(settling);
    assert.deepEqual(await first.next(), is(1));
    while (![...pending.values()].some(({ ms }) => resting(ms))) await new Promise(setImmediate);
    const b = occupancy.subscribe(late.listen);
    await new Promise(setImmediate);
    assert.deepEqual(late.heard, []);
    await fire(resting);
    assert.deepEqual([await first.next(), await late.next()], [is(2), is(2)]);
    a.unsubscribe();
    b.unsubscribe();
    await fire(settling);
  });
});
