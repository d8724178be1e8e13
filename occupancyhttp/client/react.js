// The occupancy of rooms in React components.

import { createContext, useContext, useMemo, useSyncExternalStore } from "react";

const Context = createContext(undefined);

/** Passes a client to the components inside. */
export const OccupancyProvider = Context.Provider;

const unknown = { connections: undefined, presenceMembers: undefined, users: undefined };
const serverSnapshot = { ...unknown, status: "idle", error: undefined };

/** Returns a store for useSyncExternalStore: the counts of a room, and the status of the connection. */
const newStore = (client, name) => {
  const { rooms, connection } = client;
  let snapshot = { ...serverSnapshot, status: connection.status };
  const subscribe = (onChange) => {
    const change = (properties) => {
      snapshot = { ...snapshot, ...properties, status: connection.status };
      onChange();
    };
    // An error without a room is an error of the connection. The counts remain, and the status says that they may be outdated.
    const onError = (error) => change(error.room === undefined ? { error } : { ...unknown, error });
    const onStatusChange = (status) => change(status === "live" && snapshot.error?.room === undefined ? { error: undefined } : {});
    if (snapshot.status !== connection.status) change(); // since the first render
    const subscriptions = [connection.onStatusChange(onStatusChange)];
    let stopped = false;
    const start = async () => {
      const { occupancy } = await rooms.get(name);
      if (stopped) return;
      const show = (counts) => change({ ...unknown, ...counts, error: undefined }); // counts without users means 0 users
      subscriptions.push(occupancy.subscribe((event) => show(event.occupancy), { onError }));
      if (occupancy.current()) show(occupancy.current()); // another component uses the room already
    };
    start().catch((error) => stopped || change({ error }));
    return () => {
      stopped = true;
      for (const { unsubscribe } of subscriptions) unsubscribe();
      snapshot = { ...serverSnapshot, status: connection.status };
    };
  };
  return { subscribe, getSnapshot: () => snapshot };
};

/** Returns the occupancy of a room, and renders the component again after each change. */
export const useOccupancy = (name) => {
  const client = useContext(Context);
  if (!client) throw new Error("occupancy: useOccupancy was called outside of an OccupancyProvider");
  const { subscribe, getSnapshot } = useMemo(() => newStore(client, name), [client, name]);
  return useSyncExternalStore(subscribe, getSnapshot, () => serverSnapshot);
};
