// The lists of popular and trending rooms, with their live counts.

import { draw } from "./plot.js";
import { follow, Series } from "./series.js";

const $ = (id) => document.getElementById(id);
const rows = new Map(); // by room name
const format = new Intl.NumberFormat();
const totals = new Series(); // the sums of all rows
const suggested = ["lobby", "music", "games", "books", "night owls"]; // listed even while they are empty; the bots visit them
let popular = []; // names, the most popular first
let currentRoom; // the room that this tab is in, or undefined

export const fragment = (name) => `#${encodeURIComponent(name)}`;

function newRow(name) {
  const item = document.createElement("li");
  item.innerHTML = `<a><span class="name"></span><svg preserveAspectRatio="none" aria-hidden="true"></svg>
    <span class="connections">–</span><span class="members">–</span></a>`;
  const link = item.firstElementChild;
  const [label, svg, connections, members] = link.children;
  label.textContent = name;
  link.href = fragment(name);
  const row = { name, item, link, svg, known: false, connections: 0, presenceMembers: 0, removed: false };
  rows.set(name, row);
  follow(name, (occupancy) => {
    Object.assign(row, occupancy, { known: true });
    connections.textContent = format.format(occupancy.connections);
    members.textContent = format.format(occupancy.presenceMembers);
    link.ariaLabel = `${name}: ${occupancy.connections} connected, ${occupancy.presenceMembers} present`;
    item.classList.toggle("empty", occupancy.connections === 0);
    showTotals();
  }).then((following) => {
    row.following = following;
    if (row.removed) following.stop();
  });
  return row;
}

function removeRow(row) {
  row.removed = true;
  row.following?.stop();
  row.item.remove();
  rows.delete(row.name);
}

/** Shows the sums of all rows, once the occupancy of every row is known. */
function showTotals() {
  const all = { rooms: 0, connections: 0, presenceMembers: 0 };
  for (const row of rows.values()) {
    if (!row.known) return;
    all.rooms += row.connections > 0;
    all.connections += row.connections;
    all.presenceMembers += row.presenceMembers;
  }
  $("totalRooms").textContent = format.format(all.rooms);
  $("allConnections").textContent = format.format(all.connections);
  $("allMembers").textContent = format.format(all.presenceMembers);
  totals.add(all);
}

/** Sets the room that this tab is in, or undefined. The list contains it and marks it. */
export function setCurrentRoom(room) {
  currentRoom = room;
  updateRows();
  sort();
}

/** Adds and removes rows so that the list shows the popular rooms, the suggested ones and the current one. */
function updateRows() {
  const names = new Set([...popular, ...suggested]);
  if (currentRoom) names.add(currentRoom);
  for (const row of [...rows.values()]) if (!names.has(row.name)) removeRow(row);
  for (const name of names) if (!rows.has(name)) $("rooms").append(newRow(name).item);
  for (const { name, link } of rows.values()) {
    if (name === currentRoom) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  showTotals();
}

/** Sorts the rooms by popularity, unless the user is pointing at the list. */
export function sort() {
  const list = $("rooms");
  if (list.matches(":hover, :focus-within")) return;
  const rank = new Map([...popular, ...suggested, currentRoom].reverse().map((name, i) => [name, -i]));
  const sorted = [...rows.values()].sort((a, b) => rank.get(a.name) - rank.get(b.name));
  sorted.forEach(({ item }, i) => {
    if (list.children[i] !== item) list.insertBefore(item, list.children[i]);
  });
}

/** Shows the trending rooms, unless the user is pointing at them. */
function showTrending(list) {
  const items = $("trendingList");
  if (items.matches(":hover, :focus-within") && list.length) return;
  items.replaceChildren(...list.map(({ name, heat }) => {
    const item = document.createElement("li");
    item.innerHTML = `<a><span class="name"></span> <span class="heat" aria-hidden="true"></span></a>`;
    const [label, number] = item.firstElementChild.children;
    const arrivals = format.format(Math.round(heat));
    item.firstElementChild.href = fragment(name);
    item.firstElementChild.title = `${arrivals} recent arrivals`;
    label.textContent = name;
    number.textContent = `▲ ${arrivals}`;
    return item;
  }));
  $("trending").hidden = !list.length;
}

/** Shows whether the server is reachable. While it is not, the counts are out of date. */
function showReachable(reachable) {
  $("lost").textContent = reachable ? "" : "Disconnected. Reconnecting …";
  $("totals").hidden = !reachable;
  document.body.classList.toggle("stale", !reachable);
}

/** Shows the number of nodes, if the chat is part of a cluster. */
function showNodes({ name, nodes, degraded }) {
  const span = $("nodes");
  span.hidden = name === undefined;
  span.textContent = ` on ${nodes} ${nodes === 1 ? "node" : "nodes"}${degraded ? ", degraded" : ""}`;
  span.title = degraded ? `${name} has lost the connection to other nodes: their counts may be out of date` : `this node is ${name}`;
  span.classList.toggle("degraded", degraded ?? false);
}

async function fetchJSON(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(response.statusText);
  return response.json();
}

/** Fetches the names of the popular and trending rooms. Their counts arrive by the occupancy stream. */
export async function refresh() {
  try {
    const [all, trending, cluster] = await Promise.all(
      ["rooms?by=popular&limit=100", "rooms?by=trending&limit=5", "cluster"].map(fetchJSON),
    );
    const first = !popular.length;
    popular = all.rooms.map(({ name }) => name);
    updateRows();
    if (first) sort();
    showTrending(trending.rooms);
    showNodes(cluster);
    showReachable(true);
  } catch {
    showReachable(false); // until the next refresh
  }
}

export function redraw() {
  for (const { svg, following } of rows.values()) if (following) draw(svg, following.series);
  draw($("allPlot"), totals);
}
