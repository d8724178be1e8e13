// The stream, polling and the connection's status, with a server and a clock in this process.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { connect } from "../../occupancyhttp/client/occupancy.js";
import { connections, counts, frame, json, newLiveServer, newServer, newStream, recorder, reported, settle, updated, withClock } from "./support.js";

beforeEach(() => {
  reported.length = 0;
});

/** Runs f with a client of a server that answers all requests. */
const withClient = (f) =>
  withClock(async (clock) => {
    const server = newLiveServer();
    const client = connect("/base", { fetch: server.fetch });
    const statuses = [];
    client.connection.onStatusChange((status) => statuses.push(status));
    /** Subscribes to a room and returns the recorder of its events. */
    const subscribe = async (name, options) => {
      const { occupancy } = await client.rooms.get(name);
      const record = recorder();
      return Object.assign(record, occupancy, occupancy.subscribe(record.listener, options));
    };
    await f({ clock, server, client, statuses, subscribe });
    client.close();
    await clock.advance(60e3);
    assert.deepEqual([[...clock.timers.values()].map(({ call }) => `${call}`), server.open().length], [[], 0]); // nothing is left behind
  });

test("the status follows the connection", () =>
  withClient(async ({ clock, server, client, statuses, subscribe }) => {
    assert.equal(client.connection.status, "idle");
    const a = await subscribe("a");
    await clock.advance(20);
    assert.deepEqual(statuses, ["connecting", "live"]);
    server.down = true;
    server.all[0].end(new TypeError("network error"));
    await settle();
    assert.equal(client.connection.status, "waiting");
    server.down = false;
    server.set("a", 7);
    await clock.advance(1e3);
    assert.deepEqual(statuses, ["connecting", "live", "waiting", "connecting", "live"]);
    assert.deepEqual(connections(a), [0, 7]);
    a.unsubscribe();
    await clock.advance(2e3);
    assert.equal(client.connection.status, "idle");
  }));

test("a function that listens twice to the status is called until both subscriptions have ended", () =>
  withClient(async ({ clock, client, subscribe }) => {
    const statuses = [];
    const listener = (status) => statuses.push(status);
    const first = client.connection.onStatusChange(listener);
    const second = client.connection.onStatusChange(listener);
    first.unsubscribe();
    await subscribe("a");
    await clock.advance(20);
    assert.deepEqual(statuses, ["connecting", "live"]);
    second.unsubscribe();
  }));

test("a Retry-After of more than 24 days does not cause requests without a pause", () =>
  withClient(async ({ clock, server, subscribe }) => {
    server.refuse = () => json({ error: { message: "down" } }, { status: 503, headers: { "Retry-After": "2592000" } });
    await subscribe("a");
    await clock.advance(60e3);
    assert.equal(server.streams().length, 1);
  }));

test("a stream that the server ends is reopened, and the status stays live", () =>
  withClient(async ({ clock, server, statuses, subscribe }) => {
    const a = await subscribe("a");
    await clock.advance(20);
    server.values.a = 3;
    server.all[0].end();
    await clock.advance(1e3);
    assert.deepEqual([connections(a), statuses, server.streams().length], [[0, 3], ["connecting", "live"], 2]);

    server.refuse = () => undefined; // the next stream does not start
    server.all[1].end();
    await clock.advance(1e3);
    assert.equal(statuses.at(-1), "live");
    await clock.advance(1e3);
    assert.equal(statuses.at(-1), "connecting"); // after two seconds without a stream
  }));

test("a stream that sends nothing for three heartbeats is reopened", () =>
  withClient(async ({ clock, server, subscribe }) => {
    await subscribe("a");
    await clock.advance(20);
    await clock.advance(44e3);
    server.all[0].send(":\n\n");
    await clock.advance(44e3);
    assert.equal(server.streams().length, 1);
    await clock.advance(2e3);
    assert.equal(server.streams().length, 2);
  }));

test("events may be split into chunks at any byte", () =>
  withClock(async (clock) => {
    const server = newServer(async (request, signal) => {
      const stream = newStream(request, signal);
      for (const byte of new TextEncoder().encode(`${updated("日本\n👋", 1)}:\n\n${updated("日本\n👋", 2)}`)) stream.sendBytes(byte);
      return stream.response;
    });
    const client = connect("/base", { fetch: server.fetch });
    const record = recorder();
    (await client.rooms.get("日本\n👋")).occupancy.subscribe(record.listener);
    await clock.advance(20);
    assert.deepEqual(connections(record), [1, 2]);
    client.close();
  }));

test("a listener receives the time at which the server published a change, in the browser's time", () =>
  withClient(async ({ clock, server, client, subscribe }) => {
    const hour = 3600e3; // the clock of the server is an hour fast
    let stream;
    server.refuse = (request, signal) => {
      stream = newStream(request, signal);
      return stream.response;
    };
    await subscribe("a");
    await clock.advance(10); // the request
    const requestedAt = Date.now();
    const delays = [];
    (await client.rooms.get("a")).occupancy.subscribe((event, publishedAt) => delays.push(publishedAt && Date.now() - publishedAt));
    await clock.advance(50);
    // The server responded after 20 ms. The first event was published before.
    stream.send(`retry: 2000\n: at ${requestedAt + 20 + hour}\n\n`, updated("a", 0, requestedAt - 500 + hour));
    await clock.advance(1e3);
    for (const [connections, delay] of [[1, 30], [2, 10], [3, 50]]) {
      stream.send(updated("a", connections, Date.now() - delay + hour));
      await clock.advance(1e3);
    }
    stream.send(updated("a", 4)); // an older server does not send the time
    await settle();
    // The response arrived 50 ms after the request, so the client assumes that the server sent it after 25 ms.
    assert.deepEqual(delays, [undefined, 25, 5, 45, undefined]);
    const late = [];
    (await client.rooms.get("a")).occupancy.subscribe((...values) => late.push(values[1]));
    await clock.advance(1);
    assert.deepEqual(late, [undefined]); // this event is not a change for the new listener
  }));

test("attempts use exponential backoff with jitter and respect Retry-After", () =>
  withClient(async ({ clock, server, client, subscribe }) => {
    server.down = true;
    await subscribe("a");
    await clock.advance(10);
    assert.equal(server.requests.length, 1);
    await clock.advance(999); // half of the maximum, which is 2 s after the first failure
    assert.equal(server.requests.length, 1);
    await clock.advance(1);
    assert.equal(server.requests.length, 2);
    server.down = false;
    server.refuse = () => json({ error: { code: "stream_limit", message: "stream limit reached" } }, { status: 503, headers: { "Retry-After": "5" } });
    await clock.advance(2e3);
    assert.equal(server.streams().length, 3);
    server.refuse = undefined;
    await clock.advance(100e3);
    assert.deepEqual([client.connection.status, reported], ["live", []]); // a 503 is never final
  }));

test("after three streams without an event the client polls, and returns to the stream when it works", () =>
  withClient(async ({ clock, server, client, statuses, subscribe }) => {
    // A proxy buffers the streams.
    server.refuse = (request, signal) => {
      if (request.path === "/events") return newStream(request, signal).response;
      return json({ rooms: { a: counts(server.values.a ?? 0) } });
    };
    const a = await subscribe("a");
    await clock.advance(36e3); // three times ten seconds, and the pauses
    assert.deepEqual([server.streams().length, connections(a), client.connection.status], [3, [0], "live"]);
    server.values.a = 5;
    await clock.advance(6.3e3);
    assert.deepEqual(connections(a), [0, 5]);
    const polls = server.polls().length;
    await clock.advance(75e3); // another attempt to open a stream, while the client polls
    assert.equal(server.streams().length, 4);
    assert.ok(server.polls().length - polls >= 9, `${server.polls().length - polls} polls`);
    assert.deepEqual(statuses, ["connecting", "waiting", "connecting", "waiting", "connecting", "waiting", "live"]);

    server.refuse = undefined;
    await clock.advance(90e3);
    assert.equal(server.open().length, 1);
    server.set("a", 6);
    await settle();
    assert.deepEqual(connections(a), [0, 5, 6]);
    const after = server.polls().length;
    await clock.advance(30e3);
    assert.equal(server.polls().length, after);
  }));

test("when polling works again after a failure, a stream is opened at once", () =>
  withClient(async ({ clock, server, client, subscribe }) => {
    server.down = true;
    const a = await subscribe("a");
    await clock.advance(100e3);
    assert.equal(client.connection.status, "waiting");
    server.down = false;
    await clock.advance(16e3);
    assert.deepEqual([client.connection.status, server.open().length, connections(a)], ["live", 1, [0]]);
  }));

for (const [name, respond, text] of [
  ["an HTML page in place of a stream", () => new Response("<!doctype html>", { headers: { "Content-Type": "text/html" } }), /content type text\/html.*base URL/],
  ["a response without a body", () => Object.defineProperty(new Response("", { headers: { "Content-Type": "text/event-stream" } }), "body", { value: null }), /no body/],
  ["frames that do not parse", (request, signal) => {
    const stream = newStream(request, signal);
    stream.send("event: occupancy.updated\ndata: <html>\n\n");
    return stream.response;
  }, /invalid event: <html>/],
  ["a refusal by another server", () => json({ error: "Unauthorized" }, { status: 401 }), /request failed \(401\)/],
  ["a refusal without text", () => json(null, { status: 403 }), /request failed \(403\)/],
  ["a refusal of the request", () => json({ error: { message: "authentication required", code: "unauthorized" } }, { status: 401 }), /authentication required \(401\)/],
]) {
  test(`${name} is reported once to each onError`, () =>
    withClient(async ({ clock, server, client, subscribe }) => {
      server.refuse = respond;
      const errors = [];
      const onError = (error) => errors.push(error);
      const subscriptions = [await subscribe("a"), await subscribe("a", { onError }), await subscribe("b", { onError })];
      await clock.advance(500e3);
      for (const list of [errors, reported]) {
        assert.equal(list.length, 1, `${list}`);
        assert.ok(list[0] instanceof Error);
        assert.match(list[0].message, /^occupancy: cannot connect: /);
        assert.match(list[0].message, text);
      }
      assert.equal(client.connection.status, "failed");
      server.refuse = undefined;
      await clock.advance(70e3);
      assert.equal(client.connection.status, "live"); // the client never gives up
      server.refuse = respond;
      server.all.at(-1).end(new TypeError("network error"));
      await clock.advance(500e3);
      assert.deepEqual([errors.length, reported.length], [2, 2]); // once for each outage
      for (const { unsubscribe } of subscriptions) unsubscribe();
    }));
}

test("a client whose fetch has no response.body polls immediately", () =>
  withClient(async ({ clock, server, client, subscribe }) => {
    const noBody = () => Object.defineProperty(new Response("", { headers: { "Content-Type": "text/event-stream" } }), "body", { value: null });
    server.refuse = ({ path }) => (path === "/events" ? noBody() : json({ rooms: { a: counts(4) } }));
    const a = await subscribe("a");
    await clock.advance(20);
    assert.deepEqual([connections(a), client.connection.status, reported.length], [[4], "live", 1]);
  }));

test("scrolling through 200 rooms in ten seconds takes at most ten requests", () =>
  withClient(async ({ clock, server, subscribe }) => {
    const visible = [];
    const seen = [];
    for (let i = 0; i < 200; i++) {
      const row = await subscribe(`room ${i}`);
      seen.push(row);
      visible.push(row);
      if (visible.length > 12) visible.shift().unsubscribe();
      await clock.advance(50);
    }
    await clock.advance(1.4e3);
    assert.ok(server.requests.length <= 10, `${server.requests.length} requests`);
    for (const row of visible) assert.deepEqual(connections(row), [0]);
    assert.deepEqual(new Set(server.open()[0].rooms), new Set(visible.map((row) => `room ${seen.indexOf(row)}`)));
  }));

test("changes in steps of 520 ms take at most ten requests in ten seconds", () =>
  withClient(async ({ clock, server, subscribe }) => {
    for (let i = 0; i < 19; i++) {
      await subscribe(`room ${i}`);
      await clock.advance(520);
    }
    assert.ok(server.requests.length <= 10, `${server.requests.length} requests`);
  }));

test("the first change is made at once, and a removed room stays until the next change", () =>
  withClient(async ({ clock, server, subscribe }) => {
    const a = await subscribe("a");
    await clock.advance(5e3);
    await subscribe("b");
    await clock.advance(20);
    assert.deepEqual(server.open().map(({ rooms }) => rooms.length), [2]);
    a.unsubscribe();
    const again = await subscribe("a"); // no request, and the counts are known
    await clock.advance(1);
    assert.deepEqual(connections(again), [0]);
    await clock.advance(5e3);
    assert.equal(server.streams().length, 2);
    again.unsubscribe();
    await clock.advance(5e3);
    assert.deepEqual(server.open().map(({ rooms }) => rooms), [["b"]]);
  }));

test("a room that is subscribed again after it has left the stream has no old value", () =>
  withClient(async ({ clock, server, subscribe }) => {
    await subscribe("b");
    const a = await subscribe("a");
    await clock.advance(5e3);
    a.unsubscribe();
    await clock.advance(5e3);
    server.values.a = 6;
    const again = await subscribe("a");
    await clock.advance(20);
    assert.deepEqual(connections(again), [6]);
  }));

test("adding a room repeats no event", () =>
  withClient(async ({ clock, server, subscribe }) => {
    const a = await subscribe("a");
    await clock.advance(5e3);
    server.values.a = 0;
    const b = await subscribe("b");
    await clock.advance(5e3);
    assert.deepEqual([connections(a), connections(b), server.streams().length], [[0], [0], 2]);
  }));

test("an attempt to connect is not aborted when a room is added", () =>
  withClient(async ({ clock, server, subscribe }) => {
    let respond;
    server.refuse = (request, signal) => new Promise((resolve) => (respond = () => {
      const stream = newStream(request, signal);
      stream.send(updated("a", 1));
      resolve(stream.response);
    }));
    const a = await subscribe("a");
    await clock.advance(5e3);
    const b = await subscribe("b");
    await clock.advance(2e3);
    assert.equal(server.streams().length, 1);
    server.refuse = undefined;
    server.values.a = 1;
    respond();
    await clock.advance(20);
    assert.deepEqual([connections(a), connections(b), server.streams().length], [[1], [0], 2]);
  }));

test("any number and length of names uses at most two connections", () =>
  withClient(async ({ clock, server, client, subscribe }) => {
    let pending = 0;
    let most = 0;
    const { fetch } = server;
    const counting = connect("/base", {
      fetch: async (url, init) => {
        const isStream = url.includes("/events");
        if (!isStream) most = Math.max(most, ++pending + 1);
        try {
          await settle();
          return await fetch(url, init);
        } finally {
          if (!isStream) pending--;
        }
      },
    });
    const records = [];
    const gets = [];
    for (let i = 0; i < 400; i++) {
      const { occupancy } = await counting.rooms.get(`${i}${"日".repeat(30)}`);
      records.push(recorder());
      occupancy.subscribe(records[i].listener);
      gets.push(occupancy.get());
    }
    for (let i = 0; i < 60; i++) await clock.advance(1);
    await Promise.all(gets);
    for (const record of records) assert.deepEqual(connections(record), [0]);
    assert.deepEqual([server.open().length, most], [1, 2]);
    for (const { url, rooms } of server.requests) assert.ok(url.length < 7200 && rooms.length <= 256, `${url.length} ${rooms.length}`);
    const [streamed] = server.open()[0].rooms;
    assert.equal(streamed, `399${"日".repeat(30)}`); // the rooms that were subscribed last are on the stream
    for (const name of Object.keys(server.values)) delete server.values[name];
    server.values[`0${"日".repeat(30)}`] = 9;
    for (let i = 0; i < 100; i++) await clock.advance(100);
    assert.deepEqual(connections(records[0]), [0, 9]); // polled
    counting.close();
    await subscribe("x"); // closes with the client
  }));

// 64,000 rooms took 251 s when the time was quadratic, and take less than a second now.
test("subscribing takes linear time", () =>
  withClient(async ({ client }) => {
    const rooms = [];
    for (let i = 0; i < 64000; i++) rooms.push(await client.rooms.get(`room ${i}`));
    const start = process.hrtime.bigint();
    for (const { occupancy } of rooms) occupancy.subscribe(() => {});
    assert.ok(process.hrtime.bigint() - start < 20e9);
    client.close();
  }));

test("a listener that unsubscribes and subscribes itself again receives each event once", () =>
  withClient(async ({ clock, server, client }) => {
    const { occupancy } = await client.rooms.get("a");
    let subscription;
    const received = [];
    const listener = ({ occupancy: { connections } }) => {
      received.push(connections);
      subscription.unsubscribe();
      subscription = occupancy.subscribe(listener);
    };
    subscription = occupancy.subscribe(listener);
    await clock.advance(2e3);
    server.set("a", 1);
    await clock.advance(2e3);
    assert.deepEqual(received, [0, 1]);
    subscription.unsubscribe();
  }));

test("a listener that subscribes a new function in each call does not freeze the page", () =>
  withClient(async ({ clock, client }) => {
    const { occupancy } = await client.rooms.get("a");
    let calls = 0;
    let inTurn = 0; // calls without a pause
    let most = 0;
    const subscribe = () => {
      const { unsubscribe } = occupancy.subscribe(() => {
        most = Math.max(most, ++inTurn);
        setImmediate(() => (inTurn = 0));
        unsubscribe();
        if (++calls < 100) subscribe();
      });
    };
    subscribe();
    await clock.advance(2e3);
    assert.deepEqual([calls, most], [100, 1]);
  }));

test("refused rooms are reported to their subscribers, and the others continue on the same stream", () =>
  withClient(async ({ clock, server, subscribe }) => {
    server.refuse = (request, signal) => {
      const stream = newStream(request, signal);
      const refusals = request.rooms.filter((room) => room !== "a" && !server.allowed);
      for (const room of refusals) stream.send(frame("occupancy.refused", { room, status: 403, code: "forbidden", message: "access to this room is denied" }));
      stream.send(...request.rooms.filter((room) => !refusals.includes(room)).map((room) => updated(room, 1)));
      server.stream = stream;
      return stream.response;
    };
    const errors = [];
    const a = await subscribe("a");
    for (let i = 0; i < 50; i++) await subscribe(`secret ${i}`, { onError: (error) => errors.push(error) });
    const loud = await subscribe("secret");
    await clock.advance(10e3);
    assert.deepEqual([server.requests.length, connections(a), errors.length], [1, [1], 50]);
    assert.deepEqual(reported.map(({ message, status, code, room }) => [message, status, code, room]), [["occupancy: access to this room is denied", 403, "forbidden", "secret"]]);
    server.allowed = true;
    const again = await subscribe("secret");
    await clock.advance(20);
    assert.deepEqual([connections(loud), connections(again)], [[1], [1]]);

    // The access to a room is revoked.
    server.stream.send(frame("occupancy.refused", { room: "a", status: 403, code: "forbidden", message: "access to this room is denied" }));
    await clock.advance(5e3);
    assert.deepEqual([reported.length, a.current()], [2, undefined]);
    assert.deepEqual(server.streams().length, 2);
  }));

test("a stream of which all rooms are refused is not requested again", () =>
  withClient(async ({ clock, server, client, subscribe }) => {
    server.refuse = () => json({ error: { code: "forbidden", message: "access to this room is denied" } }, { status: 403 });
    await subscribe("a");
    await clock.advance(100e3);
    assert.deepEqual([server.requests.length, reported.map(({ room }) => room), client.connection.status], [1, ["a"], "idle"]);
  }));

test("when all rooms of a JSON request are refused, the others are still polled", () =>
  withClient(async ({ clock, server, client, subscribe }) => {
    const isSecret = (room) => room.startsWith("secret");
    server.refuse = ({ path, rooms }, signal) => {
      if (path === "/") return rooms.every(isSecret) ? json({ error: { code: "forbidden", message: "access to this room is denied" } }, { status: 403 }) : json({ rooms: Object.fromEntries(rooms.map((room) => [room, counts(2)])) });
      const stream = newStream({}, signal);
      stream.send(...rooms.map((room) => updated(room, 1)));
      return stream.response;
    };
    const first = await subscribe("first");
    const errors = [];
    for (let i = 0; i < 256; i++) await subscribe(`secret ${i}`, { onError: (error) => errors.push(error) });
    const last = [];
    for (let i = 0; i < 256; i++) last.push(await subscribe(`last ${i}`));
    for (let i = 0; i < 20; i++) await clock.advance(1);
    assert.deepEqual([errors.length, connections(first), connections(last[0]), client.connection.status], [256, [2], [1], "live"]);
    assert.deepEqual([errors[0].status, errors[0].code], [403, "forbidden"]);
  }));

test("the client reports that the server's numbers are stale", () =>
  withClient(async ({ clock, server, client, subscribe }) => {
    let changes = 0;
    client.connection.onStatusChange(() => changes++);
    await subscribe("a");
    await clock.advance(20);
    changes = 0;
    server.all[0].send(frame("occupancy.stale", { stale: true, reasons: ["node b is silent"] }));
    await settle();
    assert.deepEqual([client.connection.status, client.connection.stale, client.connection.reasons, changes], ["live", true, ["node b is silent"], 1]);
    server.all[0].send(frame("occupancy.stale", { stale: false }));
    await settle();
    assert.deepEqual([client.connection.stale, client.connection.reasons, changes], [false, [], 2]);
  }));

test("current is undefined when a room is subscribed again while the server is down", () =>
  withClient(async ({ clock, server, subscribe }) => {
    const a = await subscribe("a");
    const b = await subscribe("b");
    await clock.advance(20);
    server.down = true;
    server.all[0].end(new TypeError("network error"));
    await settle();
    assert.deepEqual([a.current(), b.current()], [counts(0), counts(0)]); // the last values received
    a.unsubscribe();
    const again = await subscribe("a");
    assert.deepEqual([again.current(), b.current()], [undefined, counts(0)]);
    const late = await subscribe("b");
    await clock.advance(5);
    assert.deepEqual(late.events, []); // a value of before the outage is not an event
    server.down = false;
    await clock.advance(2e3);
    assert.deepEqual([connections(again), connections(late), connections(b)], [[0], [0], [0]]);
  }));

const wakeUps = [
  ["online", (target) => target.dispatchEvent(new Event("online"))],
  ["resume", (target) => target.dispatchEvent(new Event("resume"))],
  ["visible after more than a heartbeat", (target, clock) => {
    const show = (hidden) => {
      globalThis.document = { hidden, baseURI: "http://page" };
      target.dispatchEvent(new Event("visibilitychange"));
    };
    show(true);
    clock.sleep(16e3);
    show(false);
  }],
];
for (const [name, wakeUp] of wakeUps) {
  test(`${name}: the stream delivers within two seconds or is reopened`, async () => {
    const target = new EventTarget();
    globalThis.addEventListener = target.addEventListener.bind(target);
    await withClient(async ({ clock, server, client, subscribe }) => {
      const a = await subscribe("a");
      await clock.advance(20);
      wakeUp(target, clock);
      server.all[0].send(":\n\n");
      await clock.advance(10e3);
      assert.equal(server.streams().length, 1); // the stream works
      wakeUp(target, clock);
      server.values.a = 3;
      await clock.advance(1.9e3);
      assert.equal(server.streams().length, 1);
      await clock.advance(200);
      assert.deepEqual([server.streams().length, connections(a), client.connection.status], [2, [0, 3], "live"]);

      server.down = true;
      server.all[1].end(new TypeError("offline"));
      await clock.advance(100e3);
      server.down = false;
      wakeUp(target, clock);
      await clock.advance(10);
      assert.equal(client.connection.status, "live"); // no pause
    });
    delete globalThis.addEventListener;
    delete globalThis.document;
  });
}

test("get rejects after ten seconds", () =>
  withClient(async ({ clock, server, client }) => {
    server.refuse = () => undefined;
    const { occupancy } = await client.rooms.get("a");
    const get = occupancy.get();
    get.catch(() => {});
    await clock.advance(9.9e3);
    const late = (await client.rooms.get("b")).occupancy.get();
    late.catch(() => {});
    server.refuse = undefined;
    await clock.advance(200);
    await assert.rejects(get, /^Error: occupancy: cannot get room "a": /);
    assert.deepEqual(await late, counts(0)); // the next request was sent
  }));

test("calls of get share a request", () =>
  withClient(async ({ server, client }) => {
    const names = [".", "..", "a/b", "__proto__"];
    server.values["a/b"] = 2;
    const rooms = await Promise.all(names.map((name) => client.rooms.get(name)));
    const results = await Promise.all(rooms.map(({ occupancy }) => occupancy.get()));
    assert.deepEqual(results, [counts(0), counts(0), counts(2), counts(0)]);
    assert.deepEqual(server.requests.map(({ path, rooms }) => [path, rooms.length]), [["/", 4]]);
    assert.match(server.requests[0].url, /&fresh=1$/);
  }));

test("get returns partial: true if nodes are missing, and rejects for a refused room", () =>
  withClient(async ({ server, client }) => {
    server.refuse = () => json({ rooms: { a: counts(1) }, refused: { b: "forbidden" } }, { headers: { "Content-Type": "application/json", "Occupancy-Partial": "true" } });
    const [a, b] = await Promise.all(["a", "b"].map((name) => client.rooms.get(name)));
    const [got, refused] = await Promise.allSettled([a.occupancy.get(), b.occupancy.get()]);
    assert.deepEqual(got.value, { ...counts(1), partial: true });
    assert.deepEqual([refused.reason.status, refused.reason.code], [403, "forbidden"]);
  }));

test("release forgets a room, and close ends everything", () =>
  withClient(async ({ clock, server, client, subscribe }) => {
    const a = await subscribe("a");
    const b = await subscribe("b");
    const room = await client.rooms.get("a");
    await clock.advance(5e3);
    client.rooms.release("a");
    assert.notEqual(await client.rooms.get("a"), room);
    assert.throws(() => room.occupancy.subscribe(() => {}), /released/);
    await clock.advance(5e3);
    assert.deepEqual(server.open().map(({ rooms }) => rooms), [["b"]]);
    client.close();
    assert.deepEqual([server.open().length, client.connection.status], [0, "idle"]);
    await assert.rejects(client.rooms.get("a"), /closed/);
    assert.throws(() => b.subscribe(() => {}), /closed/);
    a.unsubscribe();
  }));
