// The fragment of the page's URL is the name of the open room, or empty.

import * as room from "./room.js";
import * as roomList from "./roomlist.js";

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
  roomList.setCurrentRoom(name);
  if (name) $("roomTitle").focus({ preventScroll: true });
}

/** Calls f now, once per period (in ms), and when the page becomes visible. Does not call f while the page is hidden. */
function repeat(period, f) {
  const callIfVisible = () => document.hidden || f();
  callIfVisible();
  setInterval(callIfVisible, period);
  addEventListener("visibilitychange", callIfVisible);
}

$("openForm").onsubmit = (event) => {
  event.preventDefault();
  const name = $("openName").value.trim();
  $("openName").value = "";
  if (name) location.hash = roomList.fragment(name);
};
addEventListener("keydown", (event) => {
  // The Escape key closes the room, unless the user is typing.
  if (event.key === "Escape" && !event.isComposing && !event.target.value) location.hash = "";
});
addEventListener("hashchange", navigate);

navigate();
repeat(2e3, roomList.refresh);
repeat(1e3, () => (roomList.redraw(), room.redraw()));
setTimeout(() => repeat(5e3, roomList.sort), 500);
