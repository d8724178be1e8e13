// A test of examples/chat builds this project with the packed client, and runs it in a browser.
// The region between begin and end is a snippet of docs/browser.md.

import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { useList } from "occupancy-client/react";
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

/** Lists of rooms need the client of rooms.js. */
function Popular() {
  const { rooms, total } = useList("popular", 3);
  return <ol title={`${total?.connections} connected`}>{rooms?.map(({ name }) => <li key={name}>{name}</li>)}</ol>;
}
const popular = () => <OccupancyProvider value={connectLists("/occupancy")}><Popular /></OccupancyProvider>;

// @ts-expect-error: the name of the room is missing
const missing = () => useOccupancy();
// @ts-expect-error: the value is not a client
const wrong = <OccupancyProvider value={1} />;
export { missing, popular, wrong };
