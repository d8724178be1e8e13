// The fragment of the URL is the name of the room that this tab is in, or empty.

import * as lobby from "./lobby.js";
import * as room from "./room.js";

const $ = (id) => document.getElementById(id);

function currentRoom() {
  try {
    return decodeURIComponent(location.hash.slice(1)) || undefined;
  } catch {
    return undefined; // invalid escape sequence
  }
}

function navigate() {
  const name = currentRoom();
  document.title = name ?? "Rooms";
  document.body.classList.toggle("inside", name !== undefined);
  room.open(name);
  lobby.setCurrentRoom(name);
  if (name) $("roomTitle").focus({ preventScroll: true });
}

/** Calls f immediately, every ms milliseconds, and when the page becomes visible, but not while it is hidden. */
function every(ms, f) {
  const callIfVisible = () => document.hidden || f();
  callIfVisible();
  setInterval(callIfVisible, ms);
  addEventListener("visibilitychange", callIfVisible);
}

$("openForm").onsubmit = (event) => {
  event.preventDefault();
  const name = $("openName").value.trim();
  $("openName").value = "";
  if (name) location.hash = lobby.fragment(name);
};
addEventListener("keydown", (event) => {
  // Escape closes the room, but not while the user is typing.
  if (event.key === "Escape" && !event.isComposing && !event.target.value) location.hash = "";
});
addEventListener("hashchange", navigate);

navigate();
every(2e3, lobby.refresh);
every(1e3, () => (lobby.redraw(), room.redraw()));
setTimeout(() => every(5e3, lobby.sort), 500);
