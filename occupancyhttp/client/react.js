// The occupancy of rooms, and lists of rooms, in React components.

import { createContext, useContext, useMemo, useSyncExternalStore } from "react";

const Context = createContext(undefined);

/** Passes a client to the components inside. */
export const OccupancyProvider = Context.Provider;

const unknownCounts = { connections: undefined, presenceMembers: undefined, users: undefined };
const unknownList = { rooms: undefined, total: undefined };

/**
 * Returns a store for useSyncExternalStore: values that arrive, and the status of the connection.
 * start begins to pass values to a function, and returns a promise of the subscription.
 */
const newStore = ({ connection }, unknown, start) => {
  let snapshot = { ...unknown, status: connection.status, error: undefined };
  const subscribe = (onChange) => {
    let stopped = false;
    const change = (properties) => {
      if (stopped) return;
      snapshot = { ...snapshot, ...properties, status: connection.status };
      onChange();
    };
    // An error without a room is an error of the connection. The values remain, and the status says that they may be outdated.
    const onError = (error) => change(error.room === undefined ? { error } : { ...unknown, error });
    const onStatusChange = (status) => change(status === "live" && snapshot.error?.room === undefined ? { error: undefined } : {});
    if (snapshot.status !== connection.status) change(); // since the first render
    const subscriptions = [connection.onStatusChange(onStatusChange)];
    const show = (values) => change({ ...unknown, ...values, error: undefined }); // counts without users means 0 users
    start(show, { onError }).then(
      (subscription) => (stopped ? subscription.unsubscribe() : subscriptions.push(subscription)),
      (error) => change({ error }),
    );
    return () => {
      stopped = true;
      for (const { unsubscribe } of subscriptions) unsubscribe();
      snapshot = { ...unknown, status: connection.status, error: undefined };
    };
  };
  return { subscribe, getSnapshot: () => snapshot };
};

/** Renders the component again after each change of a store. The server renders unknown. */
const useStore = (unknown, keys, newStart) => {
  const client = useContext(Context);
  if (!client) throw new Error("occupancy: a hook was called outside of an OccupancyProvider");
  const [{ subscribe, getSnapshot }, serverSnapshot] = useMemo(
    () => [newStore(client, unknown, newStart(client.rooms)), { ...unknown, status: "idle", error: undefined }],
    [client, ...keys],
  );
  return useSyncExternalStore(subscribe, getSnapshot, () => serverSnapshot);
};

/** Returns the occupancy of a room. */
export const useOccupancy = (name) =>
  useStore(unknownCounts, [name], (rooms) => async (show, options) => {
    const { occupancy } = await rooms.get(name);
    const subscription = occupancy.subscribe((event) => show(event.occupancy), options);
    if (occupancy.current()) show(occupancy.current()); // another component uses the room already
    return subscription;
  });

/** Returns a list of rooms. */
export const useList = (by, limit) =>
  useStore(unknownList, [by, limit], (rooms) => async (show, options) => rooms[by](limit).subscribe(({ rooms, total }) => show({ rooms, total }), options));
