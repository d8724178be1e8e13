// client_javascript_test.go compiles this file. The region between begin and end is a snippet of
// docs/browser.md.

// begin: lists
import { connect } from "/occupancy/rooms.js";

const { rooms } = connect("/occupancy");
rooms.popular(10).subscribe(({ rooms, total }) => {
  for (const { name, occupancy } of rooms) console.log(name, occupancy.connections);
  console.log(`${total.connections} connected in ${total.rooms} rooms`);
});
// end: lists

const { unsubscribe } = rooms.trending().subscribe(({ rooms: [first] }, publishedAt) => console.log(first?.ratio, publishedAt), { onError: console.log });
unsubscribe();
(await rooms.get("lobby")).occupancy.current();
// @ts-expect-error: the limit is a number
rooms.popular("10");
// @ts-expect-error: a list is read-only
rooms.popular().subscribe(({ rooms }) => rooms.pop());
// @ts-expect-error: a list cannot be requested
rooms.popular().get();
