// The fragment of the page's URL is the name of the open room, or empty.

import { connection, stream } from "./counts.js";
import * as overview from "./overview.js";
import * as room from "./room.js";
import * as roomList from "./roomlist.js";

const $ = (id) => document.getElementById(id);
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const parts = [overview, room, roomList];
let currentUntil; // when the shown counts were current for the last time, in ms
let hasFailed = false; // whether an attempt to open the stream has failed since then

function currentRoom() {
  const fragment = location.hash.slice(1);
  try {
    return decodeURIComponent(fragment) || undefined;
  } catch {
    return fragment; // it contains an invalid escape sequence
  }
}

function navigate() {
  const name = currentRoom();
  document.title = name ? `${name} – Occupancy chat` : "Occupancy chat";
  const wasInside = document.body.classList.contains("inside");
  document.body.classList.toggle("inside", name !== undefined);
  room.open(name);
  roomList.setCurrentRoom(name);
  // Otherwise the focus would be lost, because the focused element is hidden.
  if (name || wasInside) $(name ? "roomTitle" : "roomListTitle").focus({ preventScroll: true });
}

/** Returns why the shown counts may be wrong, or an empty string. */
function problem() {
  if (stream.isCurrent) return connection.stale ? `These numbers may be out of date (${connection.reasons.join(", ")}).` : "";
  if (currentUntil) return `Not connected to the server. These numbers are from ${clock.format(currentUntil)}. Trying again …`;
  return hasFailed ? "Cannot reach the server. Trying again …" : "Loading …";
}

function showStatus() {
  if (stream.isCurrent) currentUntil = Date.now();
  hasFailed = !stream.isCurrent && (hasFailed || ["waiting", "failed"].includes(connection.status));
  const text = problem();
  if ($("status").textContent !== text) $("status").textContent = text; // a screen reader announces it
  document.body.classList.toggle("stale", text !== "");
  document.body.classList.toggle("loading", !currentUntil && !hasFailed);
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
  const name = $("openName").value.trim().toWellFormed();
  $("openName").value = "";
  if (name) location.hash = roomList.fragment(name);
};
addEventListener("keydown", (event) => {
  // The Escape key closes the room, unless the user is typing.
  if (event.key === "Escape" && !event.isComposing && !event.target.value) location.hash = "";
});
addEventListener("hashchange", navigate);
stream.onChange = () => {
  for (const { lose, redraw } of parts) (stream.isCurrent ? redraw : lose)();
  showStatus();
};

const wide = matchMedia("(min-width: 52.01rem)");
wide.onchange = () => ($("code").open = wide.matches);
wide.onchange();

navigate();
repeat(2e3, overview.refresh);
repeat(1e3, () => {
  for (const { redraw } of parts) redraw();
  showStatus();
});
