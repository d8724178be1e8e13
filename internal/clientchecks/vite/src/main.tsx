// A test of examples/chat builds this project with the packed client, and runs it in a browser.
// The region between begin and end is a snippet of docs/browser.md.

import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { connect as connectLists } from "occupancy-client/rooms";
// begin: react
import { connect } from "occupancy-client";
import { OccupancyProvider, useOccupancy } from "occupancy-client/react";

const client = connect("/occupancy");

function Count({ room }: { room: string }) {
  const { connections, status, error } = useOccupancy(room);
  if (error) return <p>{error.message}</p>;
  return <p style={{ opacity: status === "live" ? 1 : 0.5 }}>{connections ?? "–"} connected</p>;
}

const App = () => (
  <OccupancyProvider value={client}>
    <Count room="lobby" />
  </OccupancyProvider>
);
// end: react

/** Renders all fields of a room. */
function Room({ name }: { name: string }) {
  const { connections, presenceMembers, users, status, error } = useOccupancy(name);
  return <li>{`${name}: ${connections}, ${presenceMembers}, ${users}, ${status}, ${error?.message}`}</li>;
}

/** Shows the rooms of the list names. The page's test sets the list. */
function Rooms() {
  const [names, setNames] = useState(["lobby", "lobby", "secret"]);
  Object.assign(globalThis, { setNames });
  return <ul>{names.map((name, i) => <Room key={i} name={name} />)}</ul>;
}

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <App />
    <OccupancyProvider value={client}>
      <Rooms />
    </OccupancyProvider>
  </StrictMode>,
);

/** The client with lists of rooms. */
const subscribe = () => connectLists("/occupancy").rooms.popular(3).subscribe(({ rooms }) => console.log(rooms.length));

// @ts-expect-error: the name of the room is missing
const missing = () => useOccupancy();
// @ts-expect-error: the value is not a client
const wrong = <OccupancyProvider value={1} />;
export { missing, subscribe, wrong };
