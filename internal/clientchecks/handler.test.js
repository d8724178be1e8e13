// The client with the handler. A Go test runs this file, see occupancyhttp/client_javascript_test.go.
// It serves the handler at BASE. At CONTROL it serves commands that control the server and the engine.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { connect } from "../../occupancyhttp/client/occupancy.js";
import { connect as connectLists } from "../../occupancyhttp/client/rooms.js";
import { counts, recorder, reported } from "./support.js";

const { BASE, CONTROL } = process.env;

/** Sends a command to the test server, and resolves when the server has executed the command. */
const server = async (command, query = {}) => {
  const response = await fetch(`${CONTROL}/${command}?${new URLSearchParams(query)}`, { method: "POST" });
  const text = await response.text();
  assert.equal(response.status, 200, `${command}: ${text}`);
  return Number(text);
};

let client;
beforeEach(() => {
  reported.length = 0;
  client = connect(BASE);
});
afterEach(() => {
  client.close();
  return server("await", { streams: 0 });
});

let names = 0;
const newName = () => `room ${++names}/ü`;

/** Subscribes to a room and returns the room, the recorder of its events, and the subscription. */
const subscribe = async (name, options) => {
  const { occupancy } = await client.rooms.get(name);
  const record = recorder();
  return { ...occupancy, ...record, ...occupancy.subscribe(record.listener, options) };
};

test("subscribe, current, get and unsubscribe", async () => {
  const name = newName();
  await server("join", { room: name });
  const room = await client.rooms.get(name);
  const { events, listener, until } = recorder();
  assert.equal(room.occupancy.current(), undefined);
  const { unsubscribe } = room.occupancy.subscribe(listener);
  assert.equal(room.occupancy.current(), undefined);
  await until(1);
  assert.deepEqual(room.occupancy.current(), counts(1));
  await server("enter", { room: name });
  while (room.occupancy.current().presenceMembers !== 1) await new Promise(setImmediate);
  assert.deepEqual(await room.occupancy.get(), counts(1, 1));
  unsubscribe();
  assert.equal(room.occupancy.current(), undefined);
  await server("await", { streams: 0 });
  events.length = 0;
  await server("join", { room: name });
  assert.deepEqual(events, []);
  assert.deepEqual(reported, []);
});

test("events have the specified shape and are read-only", async () => {
  const room = await subscribe(newName());
  assert.deepEqual(await room.next(), counts(0));
  let received;
  room.subscribe((event) => (received = event));
  while (!received) await new Promise(setImmediate);
  assert.equal(JSON.stringify(received), '{"type":"occupancy.updated","occupancy":{"connections":0,"presenceMembers":0}}');
  assert.equal(room.current(), received.occupancy);
  assert.throws(() => (received.occupancy.connections = 7), TypeError);
  assert.throws(() => (received.type = "other"), TypeError);
});

test("the names of rooms may contain anything, and may be '.' or '..'", async () => {
  for (const name of [".", "..", "__proto__", "a&room=b#?%2F", "日本\n👋", "x".repeat(1024)]) {
    const room = await subscribe(name);
    assert.deepEqual(await room.next(), counts(0));
    await server("join", { room: name });
    assert.deepEqual(await room.next(), counts(1));
    assert.deepEqual(await room.get(), counts(1));
    room.unsubscribe();
  }
  for (const name of ["", undefined, 7, "half \ud83d a pair", "x".repeat(1025), "日".repeat(342)]) await assert.rejects(client.rooms.get(name), TypeError);
});

test("all rooms share one stream, and adding a room repeats no event", async () => {
  const opened = await server("opened");
  const [a, b] = [await subscribe(newName()), await subscribe(newName())];
  assert.deepEqual([await a.next(), await b.next()], [counts(0), counts(0)]);
  const name = newName();
  const c = await subscribe(name);
  assert.deepEqual(await c.next(), counts(0));
  assert.equal(await server("await", { streams: 1 }), 1);
  await server("join", { room: name });
  assert.deepEqual(await c.next(), counts(1));
  assert.deepEqual([a.events, b.events], [[], []]);
  assert.equal(await server("opened"), opened + 2);
});

test("changes during a reconnect are delivered", async () => {
  const name = newName();
  const a = await subscribe(name);
  assert.deepEqual(await a.next(), counts(0));
  for (let i = 1; i <= 5; i++) {
    await subscribe(newName());
    await server("join", { room: name });
    await a.until(i);
  }
});

test("subscribing a listener twice creates two subscriptions, and unsubscribing twice has no effect", async () => {
  const name = newName();
  const { occupancy } = await client.rooms.get(name);
  const { events, listener, next } = recorder();
  const a = occupancy.subscribe(listener);
  const b = occupancy.subscribe(listener);
  assert.deepEqual([await next(), await next()], [counts(0), counts(0)]);
  a.unsubscribe();
  a.unsubscribe();
  await server("join", { room: name });
  assert.deepEqual(await next(), counts(1));
  assert.deepEqual(await occupancy.get(), counts(1)); // an event for the removed listener would arrive before this response
  assert.deepEqual(events, []);
  b.unsubscribe();
});

test("the error of a listener is reported, and other listeners are called", async () => {
  const { occupancy } = await client.rooms.get(newName());
  const oops = new Error("oops");
  occupancy.subscribe(() => {
    throw oops;
  });
  const { listener, next } = recorder();
  occupancy.subscribe(listener);
  assert.deepEqual(await next(), counts(0));
  assert.deepEqual(reported, [oops]);
});

test("a new listener of a connected room receives the newest event once, unless it unsubscribes first", async () => {
  const name = newName();
  const first = await subscribe(name);
  await first.next();
  const opened = await server("opened");
  const second = await subscribe(name);
  const unsubscribed = await subscribe(name);
  unsubscribed.unsubscribe();
  assert.deepEqual(second.events, []); // never before subscribe returns
  assert.deepEqual(await second.next(), counts(0));
  await server("join", { room: name });
  assert.deepEqual(await second.next(), counts(1));
  assert.deepEqual([unsubscribed.events, first.events.length, await server("opened")], [[], 1, opened]);
});

test("a listener can subscribe and unsubscribe other listeners", async () => {
  const { occupancy } = await client.rooms.get(newName());
  const second = recorder();
  const added = recorder();
  let b, c;
  occupancy.subscribe(() => {
    b.unsubscribe();
    c ??= occupancy.subscribe(added.listener);
  });
  b = occupancy.subscribe(second.listener);
  assert.deepEqual(await added.next(), counts(0));
  await occupancy.get();
  assert.deepEqual([second.events, added.events], [[], []]);
});

test("a room that is subscribed again after its last listener left has no old value", async () => {
  const [a, b] = [newName(), newName()];
  const first = await subscribe(a);
  const other = await subscribe(b);
  await Promise.all([first.next(), other.next()]);
  first.unsubscribe();
  assert.deepEqual([first.current(), other.current()], [undefined, counts(0)]);
  await server("await", { room: a });
  await server("join", { room: a });
  const again = await subscribe(a);
  assert.equal(again.current(), undefined);
  assert.deepEqual(await again.next(), counts(1));
});

test("the client reconnects to a restarted server and receives the new counts", async () => {
  const name = newName();
  const room = await subscribe(name);
  assert.deepEqual(await room.next(), counts(0));
  await server("stop");
  await assert.rejects(room.get(), (error) => error.constructor === Error && error.message.includes(JSON.stringify(name)) && error.cause instanceof TypeError);
  assert.deepEqual(room.current(), counts(0));
  while (client.connection.status !== "waiting") await new Promise(setImmediate);
  await server("join", { room: name });
  await server("start");
  assert.deepEqual(await room.next(), counts(1));
  assert.equal(client.connection.status, "live");
});

test("1,000 rooms use one stream, and all receive their counts", async () => {
  const names = Array.from({ length: 1000 }, newName);
  await server("join", { room: names[3] }); // not among the 256 newest rooms, so it is polled
  const rooms = await Promise.all(names.map((name) => subscribe(name)));
  for (const [i, room] of rooms.entries()) assert.deepEqual(await room.next(), counts(i === 3 ? 1 : 0));
  assert.equal(await server("await", { streams: 1 }), 1);
});

test("a refused room is reported, and the other rooms are connected", async () => {
  const [open, secret, members] = [newName(), `secret ${newName()}`, `members ${newName()}`];
  const opened = await server("opened");
  const errors = [];
  const onError = (error) => errors.push(error);
  const room = await subscribe(open);
  const refused = await subscribe(secret, { onError });
  await subscribe(members, { onError });
  assert.deepEqual(await room.next(), counts(0));
  while (errors.length < 2) await new Promise(setImmediate);
  assert.deepEqual(errors.map(({ status, code, room }) => [status, code, room]).sort(), [[401, "unauthorized", members], [403, "forbidden", secret]]);
  assert.ok(errors.every((error) => error instanceof Error && /^occupancy: /.test(error.message)));
  assert.deepEqual([refused.events, refused.current(), await server("opened")], [[], undefined, opened + 1]);
  await server("allow", { room: secret });
  const again = await subscribe(secret);
  assert.deepEqual([await again.next(), await refused.next()], [counts(0), counts(0)]); // both listeners of the room
});

test("get rejects with an Error that says what failed", async () => {
  const secret = await client.rooms.get(`secret ${newName()}`);
  await assert.rejects(secret.occupancy.get(), (error) => {
    assert.ok(error instanceof Error);
    assert.deepEqual([error.status, error.code], [403, "forbidden"]);
    assert.ok(error.message.includes(secret.name), error.message);
    return true;
  });
  const nowhere = await connect(`${BASE}/nowhere`).rooms.get("a");
  await assert.rejects(nowhere.occupancy.get(), { status: 404 });
  const noJSON = await connect("", { fetch: async () => new Response("<p>Sign in") }).rooms.get("a");
  await assert.rejects(noJSON.occupancy.get(), /cannot get room "a": unexpected content type text\/plain.*proxies/);
});

test("a room is always the same object, and its functions work without a this value", async () => {
  const name = newName();
  const room = await client.rooms.get(name);
  assert.equal(await client.rooms.get(name), room);
  const { subscribe, current } = room.occupancy;
  const { listener, next } = recorder();
  subscribe(listener);
  assert.deepEqual(await next(), counts(0));
  assert.deepEqual(current(), counts(0));
});

test("lists of rooms, on the stream of the rooms", async () => {
  client.close();
  client = connectLists(BASE);
  const name = newName();
  for (let i = 0; i < 20; i++) await server("join", { room: name });
  const opened = await server("opened");
  let newest, publishedAt;
  let wake = () => {};
  client.rooms.popular(1).subscribe((event, time) => {
    newest = event;
    publishedAt = time;
    wake();
  });
  const room = await subscribe(name);
  const until = async (connections) => {
    while (newest?.rooms[0]?.occupancy.connections !== connections) await new Promise((resolve) => (wake = resolve));
  };
  await until(20);
  await room.until(20);
  assert.deepEqual(Object.keys(newest.rooms[0]), ["name", "occupancy", "arrivals", "usual", "ratio"]);
  assert.equal(newest.rooms[0].name, name);
  assert.ok(newest.total.rooms >= 1 && newest.total.connections >= 20, JSON.stringify(newest.total));
  await server("join", { room: name });
  await until(21);
  assert.ok(Math.abs(Date.now() - publishedAt) < 10e3, `${publishedAt}`);
  assert.ok((await server("opened")) - opened <= 2); // one stream; two if the room was subscribed after the stream was opened
});
