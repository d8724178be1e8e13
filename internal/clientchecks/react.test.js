// The hook for React, with a minimal React in its place. A browser test runs the hook with React itself.

import assert from "node:assert/strict";
import { register } from "node:module";
import { test } from "node:test";

const react = `
  export const createContext = () => ({});
  export const useContext = () => globalThis.client;
  export const useMemo = (f) => f();
  export const useSyncExternalStore = (subscribe, getSnapshot) => ({ subscribe, getSnapshot });`;
const toURL = (code) => `data:text/javascript,${encodeURIComponent(code)}`;
register(toURL(`export const resolve = (name, context, next) => (name === "react" ? { url: ${JSON.stringify(toURL(react))}, shortCircuit: true } : next(name, context));`));
const { useList, useOccupancy } = await import("../../occupancyhttp/client/react.js");

/** Returns a client with one room, whose events and status the test sends. */
const newClient = () => {
  const client = { status: [], listeners: [] };
  const add = (list, listener) => {
    list.push(listener);
    return { unsubscribe: () => list.splice(list.indexOf(listener), 1) };
  };
  client.connection = { status: "live", onStatusChange: (listener) => add(client.status, listener) };
  const occupancy = { subscribe: (listener) => add(client.listeners, listener), current: () => undefined };
  client.rooms = { get: async () => ({ occupancy }), popular: (limit) => ({ subscribe: (listener) => add(client.listeners, Object.assign(listener, { limit })) }) };
  return client;
};

const ready = () => new Promise(setImmediate);

test("an event without users removes the number of users", async () => {
  const client = (globalThis.client = newClient());
  const { subscribe, getSnapshot } = useOccupancy("a");
  const unsubscribe = subscribe(() => {});
  await ready();
  client.listeners[0]({ occupancy: { connections: 2, presenceMembers: 1, users: 1 } });
  assert.equal(getSnapshot().users, 1);
  client.listeners[0]({ occupancy: { connections: 1, presenceMembers: 0 } }); // the server omits 0
  assert.deepEqual(getSnapshot(), { connections: 1, presenceMembers: 0, users: undefined, status: "live", error: undefined });
  unsubscribe();
  assert.deepEqual([client.status, client.listeners], [[], []]);
});

test("a change of status between the first render and the subscription is shown", () => {
  const client = (globalThis.client = newClient());
  const { subscribe, getSnapshot } = useOccupancy("a");
  assert.equal(getSnapshot().status, "live");
  client.connection.status = "waiting";
  subscribe(() => {});
  assert.equal(getSnapshot().status, "waiting");
});

test("a list is shown until the component is removed", async () => {
  const client = (globalThis.client = newClient());
  const { subscribe, getSnapshot } = useList("popular", 5);
  assert.deepEqual(getSnapshot(), { rooms: undefined, total: undefined, status: "live", error: undefined });
  const unsubscribe = subscribe(() => {});
  await ready();
  assert.equal(client.listeners[0].limit, 5);
  client.listeners[0]({ type: "occupancy.list", rooms: [{ name: "a" }], total: { rooms: 1 } });
  assert.deepEqual(getSnapshot(), { rooms: [{ name: "a" }], total: { rooms: 1 }, status: "live", error: undefined });
  unsubscribe();
  assert.deepEqual([client.status, client.listeners], [[], []]);
});

test("a component that is removed before its room is ready leaves no listener", async () => {
  const client = (globalThis.client = newClient());
  const { subscribe, getSnapshot } = useOccupancy("a");
  let changes = 0;
  subscribe(() => changes++)();
  await ready();
  assert.deepEqual([client.status, client.listeners, changes], [[], [], 0]);
  client.rooms = {}; // a client without lists
  const list = useList("popular");
  list.subscribe(() => {});
  await ready();
  assert.match(list.getSnapshot().error.message, /not a function/);
  assert.equal(getSnapshot().error, undefined);
});
