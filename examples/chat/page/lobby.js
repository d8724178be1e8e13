// The lists of rooms, popular and trending, with the numbers of each as they change.

import { draw } from "./plot.js";
import { follow, Series } from "./series.js";

const $ = (id) => document.getElementById(id);
const rows = new Map(); // by the room's name
const format = new Intl.NumberFormat();
const together = new Series(); // the sums over all rows
const suggested = ["lobby", "music", "games", "books", "night owls"]; // where bots wander, too
let popular = []; // names, the most popular first
let here; // the room that this tab is in

export const address = (name) => `#${encodeURIComponent(name)}`;

function newRow(name) {
  const item = document.createElement("li");
  item.innerHTML = `<a><span class="name"></span><svg preserveAspectRatio="none" aria-hidden="true"></svg>
    <span class="connections">–</span><span class="members">–</span></a>`;
  const link = item.firstElementChild;
  const [label, svg, connections, members] = link.children;
  label.textContent = name;
  link.href = address(name);
  const row = { name, item, link, svg, known: false, connections: 0, presenceMembers: 0, gone: false };
  rows.set(name, row);
  follow(name, (now) => {
    Object.assign(row, now, { known: true });
    connections.textContent = format.format(now.connections);
    members.textContent = format.format(now.presenceMembers);
    link.ariaLabel = `${name}: ${now.connections} connected, ${now.presenceMembers} present`;
    item.classList.toggle("empty", now.connections === 0);
    total();
  }).then((following) => {
    row.following = following;
    if (row.gone) following.stop();
  });
  return row;
}

function drop(row) {
  row.gone = true;
  row.following?.stop();
  row.item.remove();
  rows.delete(row.name);
}

function total() {
  const all = { rooms: 0, connections: 0, presenceMembers: 0 };
  for (const row of rows.values()) {
    if (!row.known) return; // it will call again
    all.rooms += row.connections > 0;
    all.connections += row.connections;
    all.presenceMembers += row.presenceMembers;
  }
  $("totalRooms").textContent = format.format(all.rooms);
  $("allConnections").textContent = format.format(all.connections);
  $("allMembers").textContent = format.format(all.presenceMembers);
  together.add(all);
}

/** Says which room this tab is in, if any. It is listed, and marked. */
export function enter(room) {
  here = room;
  show();
  sort();
}

/** Has a row for every room that is to be listed, and for no other. */
function show() {
  const names = new Set([...popular, ...suggested]);
  if (here) names.add(here);
  for (const row of [...rows.values()]) if (!names.has(row.name)) drop(row);
  for (const name of names) if (!rows.has(name)) $("rooms").append(newRow(name).item);
  for (const { name, link } of rows.values()) {
    if (name === here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  total();
}

/** Puts the most popular first, unless somebody is about to choose. */
export function sort() {
  const list = $("rooms");
  if (list.matches(":hover, :focus-within")) return;
  const place = new Map([...popular, ...suggested, here].reverse().map((name, i) => [name, -i]));
  const sorted = [...rows.values()].sort((a, b) => place.get(a.name) - place.get(b.name));
  sorted.forEach(({ item }, i) => {
    if (list.children[i] !== item) list.insertBefore(item, list.children[i]);
  });
}

/** Shows the trending rooms. */
function showHot(list) {
  const hot = $("hot");
  if (hot.matches(":hover, :focus-within") && list.length) return; // somebody is about to choose
  hot.replaceChildren(...list.map(({ name, heat }) => {
    const item = document.createElement("li");
    item.innerHTML = `<a><span class="name"></span> <span class="heat" aria-hidden="true"></span></a>`;
    const [label, number] = item.firstElementChild.children;
    const arrivals = format.format(Math.round(heat));
    item.firstElementChild.href = address(name);
    item.firstElementChild.title = `${arrivals} arrived of late`;
    label.textContent = name;
    number.textContent = `▲ ${arrivals}`;
    return item;
  }));
  $("trending").hidden = !list.length;
}

/** Shows whether what is shown is what is so. */
function connected(yes) {
  $("lost").textContent = yes ? "" : "Disconnected. Trying again …";
  $("totals").hidden = !yes;
  document.body.classList.toggle("stale", !yes);
}

/** Shows how many chats count together, if it is not this one alone. */
function showNodes({ name, nodes, degraded }) {
  const span = $("nodes");
  span.hidden = name === undefined;
  span.textContent = ` on ${nodes} ${nodes === 1 ? "node" : "nodes"}${degraded ? ", Degraded" : ""}`;
  span.title = degraded ? `${name} may not know what is so on the other nodes` : `this is ${name}`;
  span.classList.toggle("degraded", degraded ?? false);
}

async function ask(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(response.statusText);
  return response.json();
}

/** Asks which rooms are to be listed. How many are in each, the stream of occupancy tells. */
export async function refresh() {
  try {
    const [all, hot, cluster] = await Promise.all([ask("rooms?by=popular&limit=100"), ask("rooms?by=trending&limit=5"), ask("cluster")]);
    const first = !popular.length;
    popular = all.rooms.map(({ name }) => name);
    show();
    if (first) sort();
    showHot(hot.rooms);
    showNodes(cluster);
    connected(true);
  } catch {
    connected(false); // the next time may do
  }
}

export function redraw() {
  for (const { svg, following } of rows.values()) if (following) draw(svg, following.series);
  draw($("allPlot"), together);
}
