// begin: bundler
import { connect } from "occupancy-client";

const { rooms, connection } = connect("/occupancy"); // the prefix of the handler on the server
const { occupancy } = await rooms.get("lobby");
const show = () => {
  document.body.textContent = `${occupancy.current()?.connections} connected (${connection.status})`;
};
connection.onStatusChange(show);
occupancy.subscribe(show);
// end: bundler
