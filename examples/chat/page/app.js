// The fragment of the page's URL is the name of the open room, or empty.

import * as room from "./room.js";
import * as roomList from "./roomlist.js";
import { stream } from "./series.js";

const $ = (id) => document.getElementById(id);
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
let responds; // whether the server has responded to the last request for the totals; undefined if there was none since the stream was lost
let currentUntil; // when the shown counts were current for the last time, in ms

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
  document.body.classList.toggle("inside", name !== undefined);
  room.open(name);
  roomList.setCurrentRoom(name);
  if (name) $("roomTitle").focus({ preventScroll: true });
}

/** Returns why the shown counts may be wrong, or an empty string. */
function problem() {
  if (responds && stream.isCurrent) {
    currentUntil = Date.now();
    return stream.reasons.length ? `These numbers may be out of date: ${stream.reasons.join(", ")}.` : "";
  }
  if (currentUntil) return `Not connected to the server. These numbers are from ${clock.format(currentUntil)}. Trying again …`;
  return responds === false ? "Cannot reach the server. Trying again …" : "Loading …";
}

function showStatus() {
  const text = problem();
  if ($("status").textContent !== text) $("status").textContent = text; // a screen reader announces it
  document.body.classList.toggle("stale", text !== "");
}

function refresh() {
  roomList.refresh((hasResponded) => {
    responds = hasResponded;
    showStatus();
  });
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
  if (stream.isCurrent) refresh();
  else {
    roomList.lose();
    responds = undefined; // the totals may have changed since the last response
  }
  showStatus();
};

const wide = matchMedia("(min-width: 52.01rem)");
wide.onchange = () => ($("code").open = wide.matches);
wide.onchange();

navigate();
repeat(2e3, refresh);
repeat(1e3, () => (roomList.redraw(), room.redraw(), showStatus()));
