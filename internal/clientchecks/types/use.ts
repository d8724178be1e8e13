// client_javascript_test.go compiles this file. The regions between begin and end are snippets of
// docs/browser.md. Tests of examples/chat run these regions in a browser.

// begin: client
import { connect } from "/occupancy/occupancy.js";

const { rooms } = connect("/occupancy");
const room = await rooms.get("lobby");

const { unsubscribe } = room.occupancy.subscribe((event) => { console.log(event); });
const occupancy = await room.occupancy.get();
const latestOccupancy = room.occupancy.current();
unsubscribe();
// end: client

import type { Occupancy, OccupancyData, OccupancyEvent, OccupancyError, Room } from "/occupancy/occupancy.js";

const sum: number = occupancy.connections + occupancy.presenceMembers;
const partial: boolean = occupancy.partial ?? false;
const event: OccupancyEvent = { type: "occupancy.updated", occupancy: { connections: 1, presenceMembers: 0 } };
const named: Room = room;
const value: Occupancy | undefined = latestOccupancy;
const data: OccupancyData | undefined = value;
named.occupancy.get().catch((error: OccupancyError) => console.log(error.status, error.code, sum, partial, data));

{
	// begin: fetch
	const { rooms } = connect("https://chat.example/occupancy", {
	  fetch: (url, init) => fetch(url, { ...init, credentials: "include" }),
	});
	// end: fetch
	rooms.get("lobby");
}
{
	const session = { token: "", userID: "" };
	// begin: token
	const client = connect("https://chat.example/occupancy", {
	  share: session.userID,
	  fetch: (url, init) => fetch(url, { ...init, headers: { Authorization: `Bearer ${session.token}` } }),
	});
	// end: token
	client.close();
}
{
	const show = (text: string) => console.log(text);
	// begin: status
	const { rooms, connection } = connect("/occupancy");
	connection.onStatusChange(() => {
	  const isCurrent = connection.status === "live" && !connection.stale;
	  document.body.classList.toggle("outdated", !isCurrent);
	});
	const { occupancy } = await rooms.get("lobby");
	occupancy.subscribe((event) => show(`${event.occupancy.connections} connected`), {
	  onError: (error) => show(error.status === 403 ? "You may not see this room." : error.message),
	});
	// end: status
	const reasons: readonly string[] = connection.reasons;
	rooms.release(reasons[0] ?? "lobby");
	// @ts-expect-error: the status is read-only
	connection.status = "live";
	// @ts-expect-error: there is no such status
	connection.status === "online";
}
{
	const show = (text: string) => console.log(text);
	const { occupancy } = room;
	// begin: latency
	occupancy.subscribe((event, publishedAt) => {
	  if (publishedAt) requestAnimationFrame(() => show(`${Math.round(Date.now() - publishedAt)} ms from change to pixel`));
	});
	// end: latency
}
connect(new URL("https://chat.example/occupancy"), { share: false });

// @ts-expect-error: current may return undefined
latestOccupancy.connections;
// @ts-expect-error: an occupancy is read-only
event.occupancy.connections = 2;
// @ts-expect-error: unsubscribe is read-only
room.occupancy.subscribe(() => {}).unsubscribe = () => {};
// @ts-expect-error: the listener must be a function
room.occupancy.subscribe("listener");
// @ts-expect-error: the room name is missing
rooms.get();
// @ts-expect-error: without rooms.js there are no lists
rooms.popular();
// @ts-expect-error: there is no such type of event
event.type === "occupancy.changed";
// @ts-expect-error: get returns a promise
room.occupancy.get().connections;
// @ts-expect-error: current returns the occupancy and not the event
room.occupancy.current()?.occupancy;
