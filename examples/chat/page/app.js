// The address says where this tab is: # is the list of rooms, #lobby the room of that name.

import * as lobby from "./lobby.js";
import * as room from "./room.js";

const $ = (id) => document.getElementById(id);

function current() {
  try {
    return decodeURIComponent(location.hash.slice(1)) || undefined;
  } catch {
    return undefined; // not an address of ours
  }
}

function go() {
  const name = current();
  document.title = name ?? "Rooms";
  document.body.classList.toggle("inside", name !== undefined);
  room.visit(name);
  lobby.enter(name);
  if (name) $("roomTitle").focus({ preventScroll: true });
}

/** Calls f now and then while anybody looks, and as soon as somebody does again. */
function every(ms, f) {
  const look = () => document.hidden || f();
  look();
  setInterval(look, ms);
  addEventListener("visibilitychange", look);
}

$("openForm").onsubmit = (event) => {
  event.preventDefault();
  const name = $("openName").value.trim();
  $("openName").value = "";
  if (name) location.hash = lobby.address(name);
};
addEventListener("keydown", (event) => {
  // Not from under what somebody is writing.
  if (event.key === "Escape" && !event.isComposing && !event.target.value) location.hash = "";
});
addEventListener("hashchange", go);

go();
every(2e3, lobby.refresh);
every(1e3, () => (lobby.redraw(), room.redraw()));
setTimeout(() => every(5e3, lobby.sort), 500);
