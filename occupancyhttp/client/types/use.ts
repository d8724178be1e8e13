// Compiled by node_test.go, never run. First the lines of the documentation, as they stand.

// begin: client
import { connect } from "/occupancy/occupancy.js";
const rooms = connect("/occupancy").rooms;
const room = await rooms.get("lobby");
const { unsubscribe } = room.occupancy.subscribe((event) => { console.log(event); });
const latest = room.occupancy.current();     // undefined until the first event
const occupancy = await room.occupancy.get(); // rejects with a clear Error
unsubscribe();
// end: client

import type { Occupancy, OccupancyEvent, OccupancyError, Room } from "/occupancy/occupancy.js";

const sum: number = occupancy.connections + occupancy.presenceMembers;
const partial: boolean = occupancy.partial ?? false;
const event: OccupancyEvent = { type: "occupancy.updated", occupancy: { connections: 1, presenceMembers: 0 } };
const named: Room = room;
const value: Occupancy | undefined = latest?.occupancy;
connect(new URL("https://chat.example/occupancy"), { fetch: (url, init) => fetch(url, { ...init, credentials: "include" }) });
named.occupancy.get().catch((error: OccupancyError) => console.log(error.status, error.code, sum, partial, value));

// @ts-expect-error: it may be undefined
latest.occupancy;
// @ts-expect-error: an event is not to be changed
event.occupancy.connections = 2;
// @ts-expect-error: a listener is a function
room.occupancy.subscribe("listener");
// @ts-expect-error: a room has a name
rooms.get();
// @ts-expect-error: there is no such type of event
event.type === "occupancy.changed";
// @ts-expect-error: get is asked, not read
room.occupancy.get().connections;
