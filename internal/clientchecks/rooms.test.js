// Lists of rooms, with a server and a clock in this process.

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { connect } from "../../occupancyhttp/client/rooms.js";
import { counts, frame, json, newServer, newStream, reported, settle, updated, withClock } from "./support.js";

beforeEach(() => {
  reported.length = 0;
});

const room = (name, connections) => ({ name, occupancy: counts(connections) });
const total = { rooms: 9, ...counts(99) };

/** Returns an event of a list. Each of the changed rooms is a place, a name and its connections. */
const change = (by, limit, length, changed, at) =>
  frame("occupancy.list", { by, limit, length, changed: changed.map(([place, ...values]) => ({ place, ...room(...values) })), total }, at);

/** Collects the lists of a subscription as texts. */
const record = (list, options) => {
  const texts = [];
  const { unsubscribe } = list.subscribe(({ type, rooms, total }) => {
    texts.push(`${type === "occupancy.list" && total.rooms}: ${rooms.map(({ name, occupancy }) => `${name}(${occupancy.connections})`).join(" ")}`);
  }, options);
  return { texts, unsubscribe };
};

/** Runs f with a client, and a server whose streams stay open. */
const withClient = (f) =>
  withClock(async (clock) => {
    const streams = [];
    const server = newServer((request, signal) => {
      if (server.refuse) return server.refuse(request, signal);
      streams.push(newStream(request, signal));
      return streams.at(-1).response;
    });
    const client = connect("/base", { fetch: server.fetch });
    await f({ clock, server, client, streams });
    client.close();
    await clock.advance(60e3);
    assert.deepEqual([clock.timers.size, server.open().length], [0, 0]);
  });

test("lists and rooms arrive on one stream, and listeners receive whole lists", () =>
  withClient(async ({ clock, server, client, streams }) => {
    const popular = record(client.rooms.popular(3));
    const trending = record(client.rooms.trending());
    const times = [];
    client.rooms.popular(3).subscribe(({ rooms }, publishedAt) => {
      times.push(publishedAt);
      assert.throws(() => rooms.reverse(), TypeError); // the next difference refers to these places
    });
    const lobby = [];
    (await client.rooms.get("lobby")).occupancy.subscribe(({ occupancy }) => lobby.push(occupancy.connections));
    await clock.advance(20);
    assert.equal(server.requests.length, 1);
    const { searchParams } = new URL(server.requests[0].url, "http://server");
    assert.deepEqual([searchParams.getAll("by"), searchParams.getAll("limit"), searchParams.getAll("room")], [["trending", "popular"], ["10", "3"], ["lobby"]]);
    const now = Date.now();
    streams[0].send(`retry: 2000\n: at ${now}\n\n`, change("popular", 3, 3, [[0, "a", 5], [1, "b", 3], [2, "c", 1]], now - 1), updated("lobby", 7), change("trending", 10, 0, []));
    await settle();
    assert.equal(client.connection.status, "live");
    await clock.advance(100);
    streams[0].send(change("popular", 3, 3, [[1, "c", 4], [2, "b", 3]], Date.now())); // two changes in one chunk
    streams[0].send(change("popular", 3, 2, [[0, "a", 6]], Date.now()), change("popular", 3, 2, [[1, "c", 5]], Date.now()), change("trending", 10, 1, [[0, "new", 2]]));
    await settle();
    assert.deepEqual(popular.texts, ["9: a(5) b(3) c(1)", "9: a(5) c(4) b(3)", "9: a(6) c(4)", "9: a(6) c(5)"]);
    assert.deepEqual(trending.texts, ["9: ", "9: new(2)"]);
    assert.deepEqual(lobby, [7]);
    assert.deepEqual(reported, []);
    assert.equal(times[0], undefined);
    assert.ok(times.slice(1).every((at) => Math.abs(at - Date.now()) < 100), `${times}`);

    trending.unsubscribe();
    await clock.advance(3e3);
    assert.deepEqual([server.open().length, server.open()[0].url.includes("trending")], [1, false]);
    streams.at(-1).send(change("popular", 3, 2, [[0, "a", 6], [1, "c", 5]])); // the whole list again, without a change
    await settle();
    assert.equal(popular.texts.length, 4);
  }));

test("while streams do not work, lists are polled", () =>
  withClient(async ({ clock, server, client }) => {
    let connections = 1;
    server.refuse = ({ path }) => {
      if (path === "/events") throw new TypeError("no streams");
      return json({ rooms: { lobby: counts(2) }, lists: [{ by: "popular", limit: 10, rooms: [room("a", connections)], total }] });
    };
    const list = record(client.rooms.popular());
    const lobby = [];
    (await client.rooms.get("lobby")).occupancy.subscribe(({ occupancy }) => lobby.push(occupancy.connections));
    await clock.advance(20e3);
    assert.deepEqual([list.texts, lobby, client.connection.status], [["9: a(1)"], [2], "live"]);
    connections = 8;
    await clock.advance(7e3);
    assert.deepEqual([list.texts, lobby], [["9: a(1)", "9: a(8)"], [2]]);
  }));

test("a refused room does not end a list, and the errors of the connection reach the list", () =>
  withClient(async ({ clock, server, client, streams }) => {
    const errors = [];
    const list = record(client.rooms.popular(), { onError: (error) => errors.push(error.message) });
    (await client.rooms.get("secret")).occupancy.subscribe(() => {}, { onError: () => {} });
    await clock.advance(20);
    streams[0].send(frame("occupancy.refused", { room: "secret", status: 403, code: "forbidden", message: "denied" }), change("popular", 10, 1, [[0, "a", 1]]));
    await settle();
    assert.deepEqual([list.texts, errors], [["9: a(1)"], []]);
    server.refuse = () => json({ error: { code: "no_lists", message: "this server has no lists of rooms" } }, { status: 404 });
    streams[0].end();
    await clock.advance(10e3);
    assert.deepEqual([client.connection.status, errors], ["failed", ["occupancy: cannot connect: this server has no lists of rooms (404)"]]);
  }));

test("the limit must be valid, and a closed client has no lists", () =>
  withClient(async ({ client }) => {
    for (const limit of [0, 101, NaN, "ten"]) assert.throws(() => client.rooms.popular(limit), RangeError);
    client.close();
    assert.throws(() => client.rooms.trending(5), /closed/);
  }));
