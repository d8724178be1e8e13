// Several tabs of a browser, which share a stream. Each tab is a client in this process.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { connect } from "../../occupancyhttp/client/occupancy.js";
import { connect as connectLists } from "../../occupancyhttp/client/rooms.js";
import { connections, counts, frame, json, newLiveServer, newServer, newStream, recorder, reported, settle, updated, withClock } from "./support.js";

/** The part of the Web Locks API that the client uses. */
const newLocks = () => {
  const held = new Map(); // by name: { reject } of the holder
  const waiting = []; // { name, run }
  const grant = () => {
    for (const request of [...waiting]) {
      if (held.has(request.name)) continue;
      waiting.splice(waiting.indexOf(request), 1);
      request.run();
    }
  };
  const request = (name, options, callback) =>
    new Promise((resolve, reject) => {
      const aborted = () => new DOMException("aborted", "AbortError");
      const run = async () => {
        const holder = { reject };
        held.set(name, holder);
        await undefined; // as in browsers, an abort has no effect between the grant and the call
        try {
          resolve(await callback());
        } catch (error) {
          reject(error);
        }
        if (held.get(name) === holder) held.delete(name);
        grant();
      };
      if (options.signal?.aborted) return reject(aborted());
      if (options.steal) {
        held.get(name)?.reject(aborted());
        return void run();
      }
      const entry = { name, run };
      waiting.push(entry);
      options.signal?.addEventListener("abort", () => {
        const i = waiting.indexOf(entry);
        if (i < 0) return;
        waiting.splice(i, 1);
        reject(aborted());
      });
      queueMicrotask(grant);
    });
  return { request, held };
};

const channels = new Set();
class Channel {
  constructor(name) {
    this.name = name;
    channels.add(this);
  }
  postMessage(message) {
    assert.ok(channels.has(this), "the channel is closed");
    const data = structuredClone(message);
    for (const channel of channels) {
      if (channel !== this && channel.name === this.name) queueMicrotask(() => channels.has(channel) && !channel.frozen && channel.onmessage?.({ data }));
    }
  }
  close() {
    channels.delete(this);
  }
}

const { navigator, BroadcastChannel } = globalThis;
let locks;
beforeEach(() => {
  reported.length = 0;
  locks = newLocks();
  Object.defineProperty(globalThis, "navigator", { value: { locks }, configurable: true, writable: true });
  globalThis.BroadcastChannel = Channel;
});
afterEach(() => {
  Object.defineProperty(globalThis, "navigator", { value: navigator, configurable: true, writable: true });
  globalThis.BroadcastChannel = BroadcastChannel;
  assert.deepEqual([channels.size, locks.held.size], [0, 0]); // all tabs have left
});

/** Opens n tabs, each with a subscription to its own room and to the room "all". */
const withTabs = (n, f) =>
  withClock(async (clock) => {
    const server = newLiveServer();
    const openTab = async (name) => {
      const client = connect("/base", { fetch: server.fetch, share: "alice" });
      const own = recorder();
      const all = recorder();
      const errors = [];
      const onError = (error) => errors.push(error);
      const subscription = (await client.rooms.get(name)).occupancy.subscribe(own.listener, { onError });
      (await client.rooms.get("all")).occupancy.subscribe(all.listener, { onError });
      await clock.advance(20);
      return { client, own, all, errors, subscription, channel: [...channels].at(-1) };
    };
    const tabs = [];
    for (let i = 0; i < n; i++) tabs.push(await openTab(`room ${i}`));
    await clock.advance(30e3);
    await f({ clock, server, tabs, openTab });
    for (const { client } of tabs) client.close();
    await clock.advance(60e3);
    assert.deepEqual([clock.timers.size, server.open().length], [0, 0]);
  });

test("a tab that leaves after it was granted a lock does not keep the lock", () =>
  withClock(async (clock) => {
    const client = connect("/base", { fetch: newLiveServer().fetch, share: "alice" });
    const { request } = locks;
    locks.request = (name, options, callback) =>
      request(name, options, () => {
        const released = callback();
        client.close(); // both locks of the tab are granted, and the callback of the second one was not called yet
        return released;
      });
    (await client.rooms.get("a")).occupancy.subscribe(() => {});
    await clock.advance(60e3);
    assert.equal(locks.held.size, 0);
  }));

test("ten tabs share one stream", () =>
  withTabs(10, async ({ clock, server, tabs }) => {
    assert.equal(server.open().length, 1);
    assert.equal(server.open()[0].rooms.length, 11);
    for (const { client, own, all } of tabs) assert.deepEqual([client.connection.status, connections(own), connections(all)], ["live", [0], [0]]);
    server.set("all", 1);
    server.set("room 7", 2);
    await settle();
    assert.deepEqual(tabs.map(({ all }) => connections(all)), Array(10).fill([0, 1]));
    assert.deepEqual(tabs.map(({ own }) => connections(own)), tabs.map((_, i) => (i === 7 ? [0, 2] : [0])));
    assert.equal(server.requests.length, server.streams().length); // nothing is polled
    tabs[3].subscription.unsubscribe();
    await clock.advance(3e3);
    assert.deepEqual([server.open().length, server.open()[0].rooms.includes("room 3")], [1, false]);
  }));

test("a new room in any tab is on the stream at once, although the tabs also exchange other messages", () =>
  withTabs(10, async ({ clock, server, tabs }) => {
    await clock.advance(60e3);
    const record = recorder();
    (await tabs[9].client.rooms.get("new")).occupancy.subscribe(record.listener);
    await clock.advance(30);
    assert.deepEqual(connections(record), [0]);
  }));

test("a new tab receives the known counts without a request", () =>
  withTabs(1, async ({ clock, server, tabs, openTab }) => {
    server.set("room 0", 4);
    await settle();
    const { length } = server.requests;
    const tab = await openTab("room 0");
    tabs.push(tab);
    assert.deepEqual([connections(tab.own), connections(tab.all), tab.client.connection.status], [[4], [0], "live"]);
    await clock.advance(5e3);
    assert.equal(server.requests.length, length);
  }));

test("when the tab with the stream is closed, another tab opens a stream, and the status stays live", () =>
  withTabs(3, async ({ clock, server, tabs }) => {
    const statuses = [];
    for (const { client } of tabs.slice(1)) client.connection.onStatusChange((status) => statuses.push(status));
    tabs.shift().client.close();
    await clock.advance(3e3);
    assert.deepEqual([server.open().length, new Set(server.open()[0].rooms)], [1, new Set(["room 1", "room 2", "all"])]);
    server.set("all", 5);
    await settle();
    assert.deepEqual(tabs.map(({ all }) => connections(all)), [[0, 5], [0, 5]]);
    assert.deepEqual(statuses, []);
  }));

test("a tab that takes over may be closed by its own listener", () =>
  withTabs(2, async ({ clock, server, tabs }) => {
    server.down = true;
    server.all.at(-1).end(new TypeError("network error"));
    await settle();
    const [first, { client }] = tabs;
    assert.equal(client.connection.status, "waiting");
    client.connection.onStatusChange((status) => status === "connecting" && client.close());
    server.down = false;
    first.client.close();
    await clock.advance(5e3);
    assert.deepEqual([client.connection.status, server.open().length], ["idle", 0]);
  }));

test("a tab that leaves without a message is removed", () =>
  withTabs(2, async ({ clock, server, tabs }) => {
    const [, { client, channel }] = tabs;
    channel.postMessage = () => {}; // as after a crash, the tab sends nothing, but its locks are released
    client.close();
    await clock.advance(3e3);
    assert.deepEqual(new Set(server.open()[0].rooms), new Set(["room 0", "all"]));
  }));

test("the tabs receive outages, staleness and errors", () =>
  withTabs(2, async ({ clock, server, tabs }) => {
    server.all.at(-1).send('event: occupancy.stale\ndata: {"stale":true,"reasons":["x"]}\n\n');
    await settle();
    assert.deepEqual(tabs.map(({ client: { connection } }) => [connection.status, connection.stale, connection.reasons]), Array(2).fill(["live", true, ["x"]]));
    server.all.at(-1).send('event: occupancy.refused\ndata: {"room":"all","status":403,"code":"forbidden","message":"denied"}\n\n');
    await settle();
    for (const { errors } of tabs) assert.deepEqual(errors.map((error) => [error instanceof Error, error.message, error.status, error.room]), [[true, "occupancy: denied", 403, "all"]]);
    server.refuse = () => json({ error: { message: "who are you" } }, { status: 401 });
    server.all.at(-1).end(new TypeError("network error"));
    await clock.advance(10e3);
    for (const { errors, client } of tabs) {
      assert.equal(client.connection.status, "failed");
      assert.equal(errors.length, 2);
      assert.match(errors[1].message, /cannot connect: who are you/);
    }
  }));

test("a frozen tab loses the stream to another tab, and takes part again later", () =>
  withTabs(2, async ({ clock, server, tabs }) => {
    const [frozen, other] = tabs;
    frozen.channel.frozen = true;
    frozen.channel.postMessage = () => {};
    await clock.advance(10e3); // a check after at most 7.5 s, and 2 s without a response
    assert.deepEqual([server.open().length, server.streams().length >= 2], [1, true]);
    server.set("all", 3);
    await settle();
    assert.deepEqual(connections(other.all), [0, 3]);
    frozen.channel.frozen = false;
    delete frozen.channel.postMessage;
    await clock.advance(30e3);
    assert.deepEqual([connections(frozen.all), server.open().length], [[0, 3], 1]);
  }));

test("tabs with different values of share, or with fetch and without share, have their own streams", () =>
  withClock(async (clock) => {
    const server = newLiveServer();
    const clients = [{ share: "alice" }, { share: "bob" }, {}, { share: false }].map((options) => connect("/base", { fetch: server.fetch, ...options }));
    for (const client of clients) (await client.rooms.get("a")).occupancy.subscribe(() => {});
    await clock.advance(20);
    assert.equal(server.open().length, 4);
    for (const client of clients) client.close();
  }));

test("tabs share the stream of their lists, but not with tabs that cannot read lists", () =>
  withClock(async (clock) => {
    const total = { rooms: 1, ...counts(4) };
    const server = newServer((request, signal) => {
      const stream = newStream(request, signal);
      if (request.url.includes("by=popular")) stream.send(frame("occupancy.list", { by: "popular", limit: 5, length: 1, changed: [{ place: 0, name: "a", occupancy: counts(4) }], total }));
      stream.send(...request.rooms.map((room) => updated(room, 1)));
      return stream.response;
    });
    const options = { fetch: server.fetch, share: "alice" };
    const clients = [connect("/base", options), connectLists("/base", options), connectLists("/base", options)];
    (await clients[0].rooms.get("a")).occupancy.subscribe(() => {});
    const lists = [];
    for (const { rooms } of clients.slice(1)) {
      rooms.popular(5).subscribe(({ rooms: [{ name, occupancy }] }) => lists.push([name, occupancy.connections]));
      await clock.advance(20);
    }
    assert.deepEqual([server.open().length, lists], [2, [["a", 4], ["a", 4]]]);
    for (const client of clients) client.close();
  }));

test("a browser that refuses locks has a stream for each tab", () =>
  withClock(async (clock) => {
    locks.request = () => Promise.reject(new DOMException("denied", "SecurityError"));
    const server = newLiveServer();
    const clients = [1, 2].map(() => connect("/base", { fetch: server.fetch, share: true }));
    for (const client of clients) (await client.rooms.get("a")).occupancy.subscribe(() => {});
    await clock.advance(30e3);
    assert.deepEqual([server.open().length, server.requests.length], [2, 2]);
    for (const client of clients) client.close();
  }));

test("when the browser comes online, the shared stream delivers within two seconds or is reopened", async () => {
  const target = new EventTarget();
  globalThis.addEventListener = target.addEventListener.bind(target);
  await withTabs(2, async ({ clock, server, tabs }) => {
    const { length } = server.streams();
    target.dispatchEvent(new Event("online"));
    server.values.all = 8;
    await clock.advance(2.1e3);
    assert.equal(server.streams().length, length + 1);
    for (const { all, client } of tabs) assert.deepEqual([connections(all), client.connection.status], [[0, 8], "live"]);
  });
  delete globalThis.addEventListener;
});
