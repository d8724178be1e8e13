// The lists of the popular and the trending rooms. The numbers in a row are those of the list, so
// the rows are always sorted by the numbers that they show.

import { rooms, Series, measure } from "./counts.js";
import { draw } from "./plot.js";
import { showTotals } from "./overview.js";

const $ = (id) => document.getElementById(id);
const rows = new Map(); // by room name
const format = new Intl.NumberFormat();
const percent = new Intl.NumberFormat(undefined, { style: "percent" });
const suggestedRooms = ["lobby", "music", "games", "books", "night owls"]; // listed even if they are empty; bots.go contains the same names
const empty = { connections: 0, presenceMembers: 0 };
const maxRows = 100;
const moveTime = 300; // ms in which a row moves to another place
const stillness = matchMedia("(prefers-reduced-motion: reduce)");
let list; // the newest list of the popular rooms
let areMoving = false; // whether rows move to their places
let currentRoom; // the name of the open room, or undefined

export const fragment = (name) => `#${encodeURIComponent(name)}`;

function newRow(name) {
  const item = document.createElement("li");
  item.innerHTML = `<a><span class="name" dir="auto"></span><svg preserveAspectRatio="none" aria-hidden="true"></svg>
    <span class="connections"><b>–</b><span class="unseen"> connected, </span></span>
    <span class="members"><b>–</b><span class="unseen"> present</span></span></a>`;
  const link = item.firstElementChild;
  const [label, svg, connections, members] = link.children;
  label.textContent = name;
  link.href = fragment(name);
  const row = { item, link, svg, connections: connections.firstChild, members: members.firstChild, series: new Series(name) };
  rows.set(name, row);
  return row;
}

/**
 * Shows the newest list, and below it the suggested rooms that are empty. Does nothing while rows move, and
 * while the user clicks, because a click must not hit another row: the list is shown later.
 */
function show() {
  if (!list || areMoving || $("rooms").matches(":active")) return;
  const names = new Set(list.map(({ name }) => name));
  const others = list.length < maxRows ? suggestedRooms.filter((name) => !names.has(name)) : [];
  const all = [...list, ...others.map((name) => ({ name, occupancy: empty }))];
  const items = all.map(({ name, occupancy }) => {
    const row = rows.get(name) ?? newRow(name);
    row.series.add(occupancy);
    if (row.shown !== occupancy) {
      row.shown = occupancy; // the client keeps the object of a room whose counts have not changed
      row.connections.textContent = format.format(occupancy.connections);
      row.members.textContent = format.format(occupancy.presenceMembers);
      row.item.classList.toggle("empty", occupancy.connections === 0);
    }
    return row.item;
  });
  for (const [name, { item }] of rows) {
    if (items.includes(item)) continue;
    item.remove();
    rows.delete(name);
  }
  markCurrentRoom();
  arrange($("rooms"), items);
}

/** Puts the items of a list into this order. Items that change their places move visibly. */
function arrange(list, items) {
  if (items.every((item, i) => list.children[i] === item)) return;
  const tops = new Map(items.map((item) => [item, item.isConnected ? item.offsetTop : undefined]));
  items.forEach((item, i) => {
    // An item that moves in the document loses the focus, so the other items move around the focused one.
    if (item.contains(document.activeElement)) while (list.children[i] !== item) list.append(list.children[i]);
    else if (list.children[i] !== item) list.insertBefore(item, list.children[i] ?? null);
  });
  if (stillness.matches) return;
  areMoving = true;
  setTimeout(() => {
    areMoving = false;
    show(); // what has changed meanwhile
  }, moveTime);
  for (const [item, top] of tops) {
    const distance = top - item.offsetTop; // NaN for a new item
    if (!distance || !isInWindow(item)) continue;
    const zIndex = distance > 0 ? 2 : 1; // an item that rises is in front
    item.animate([{ transform: `translateY(${distance}px)`, zIndex }, { transform: "none", zIndex }], { duration: moveTime, easing: "ease-out" });
  }
}

function isInWindow(item) {
  const { top, bottom } = item.getBoundingClientRect();
  return bottom > 0 && top < innerHeight;
}

/** Marks the open room in the list. room may be undefined. */
export function setCurrentRoom(room) {
  currentRoom = room;
  markCurrentRoom();
}

function markCurrentRoom() {
  for (const [name, { link }] of rows) {
    if (name === currentRoom) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** Shows the trending rooms, unless the mouse pointer or the focus is in the list. */
function showTrending(list) {
  const items = $("trendingList");
  if (items.matches(":hover, :focus-within") && list.length) return;
  items.replaceChildren(...list.map(({ name, arrivals, usual, ratio }) => {
    const item = document.createElement("li");
    item.innerHTML = `<a><span class="name" dir="auto"></span> <span class="growth"></span></a>`;
    const [label, growth] = item.firstElementChild.children;
    item.firstElementChild.href = fragment(name);
    item.firstElementChild.title = `${format.format(Math.round(arrivals))} recent arrivals; usual size ${format.format(Math.round(usual))}`;
    label.textContent = name;
    growth.textContent = `+${percent.format(ratio)}`;
    return item;
  }));
}

/** Ends the plots, because the counts are not known any more. */
export function lose() {
  for (const { series } of rows.values()) series.lose();
}

export function redraw() {
  show();
  for (const { item, svg, series } of rows.values()) if (isInWindow(item)) draw(svg, series);
}

rooms.popular(maxRows).subscribe(({ rooms, total }, publishedAt) => {
  list = rooms;
  show();
  showTotals(total);
  measure(publishedAt);
});
rooms.trending(3).subscribe(({ rooms }) => showTrending(rooms));
