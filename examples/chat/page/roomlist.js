// The list of popular rooms with their current counts, and the list of trending rooms.

import { draw } from "./plot.js";
import { subscribe, Series } from "./series.js";

const $ = (id) => document.getElementById(id);
const rows = new Map(); // by room name
const format = new Intl.NumberFormat();
const totals = new Series(); // the sums of the counts of all rows
const suggestedRooms = ["lobby", "music", "games", "books", "night owls"]; // listed even if they are empty; bots.go contains the same names
let popularRooms = []; // names, the most popular room first
let currentRoom; // the name of the open room, or undefined

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
  subscribe(name, (occupancy) => {
    Object.assign(row, occupancy, { known: true });
    connections.textContent = format.format(occupancy.connections);
    members.textContent = format.format(occupancy.presenceMembers);
    link.ariaLabel = `${name}: ${occupancy.connections} connected, ${occupancy.presenceMembers} present`;
    item.classList.toggle("empty", occupancy.connections === 0);
    showTotals();
  }).then((subscription) => {
    row.subscription = subscription;
    if (row.removed) subscription.stop();
  });
  return row;
}

function removeRow(row) {
  row.removed = true;
  row.subscription?.stop();
  row.item.remove();
  rows.delete(row.name);
}

/** Shows the sums of all rows, once the occupancy of every row is known. */
function showTotals() {
  const sums = { rooms: 0, connections: 0, presenceMembers: 0 };
  for (const row of rows.values()) {
    if (!row.known) return;
    sums.rooms += row.connections > 0;
    sums.connections += row.connections;
    sums.presenceMembers += row.presenceMembers;
  }
  $("totalRooms").textContent = format.format(sums.rooms);
  $("allConnections").textContent = format.format(sums.connections);
  $("allMembers").textContent = format.format(sums.presenceMembers);
  totals.add(sums);
}

/** Marks the open room in the list, and adds it to the list if necessary. room may be undefined. */
export function setCurrentRoom(room) {
  currentRoom = room;
  updateRows();
  sort();
}

/** Adds and removes rows so that the list shows the popular rooms, the suggested rooms and the open room. */
function updateRows() {
  const names = new Set([...popularRooms, ...suggestedRooms]);
  if (currentRoom) names.add(currentRoom);
  for (const row of [...rows.values()]) if (!names.has(row.name)) removeRow(row);
  for (const name of names) if (!rows.has(name)) $("rooms").append(newRow(name).item);
  for (const { name, link } of rows.values()) {
    if (name === currentRoom) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  showTotals();
}

/** Sorts the rooms by popularity, unless the mouse pointer or the focus is in the list. */
export function sort() {
  const list = $("rooms");
  if (list.matches(":hover, :focus-within")) return;
  const rank = new Map([...popularRooms, ...suggestedRooms, currentRoom].reverse().map((name, i) => [name, -i]));
  const sorted = [...rows.values()].sort((a, b) => rank.get(a.name) - rank.get(b.name));
  sorted.forEach(({ item }, i) => {
    if (list.children[i] !== item) list.insertBefore(item, list.children[i]);
  });
}

/** Shows the trending rooms, unless the mouse pointer or the focus is in the list. */
function showTrending(list) {
  const items = $("trendingList");
  if (items.matches(":hover, :focus-within") && list.length) return;
  items.replaceChildren(...list.map(({ name, arrivals: recent }) => {
    const item = document.createElement("li");
    item.innerHTML = `<a><span class="name"></span> <span class="arrivals" aria-hidden="true"></span></a>`;
    const [label, number] = item.firstElementChild.children;
    const arrivals = format.format(Math.round(recent));
    item.firstElementChild.href = fragment(name);
    item.firstElementChild.title = `${arrivals} recent arrivals`;
    label.textContent = name;
    number.textContent = `▲ ${arrivals}`;
    return item;
  }));
  $("trending").hidden = !list.length;
}

/** Shows whether the server is reachable. The counts are out of date while the server is unreachable. */
function showReachable(reachable) {
  $("listStatus").textContent = reachable ? "" : "Disconnected. Reconnecting …";
  $("totals").hidden = !reachable;
  document.body.classList.toggle("stale", !reachable);
}

/** Shows the number of nodes if the chat server is in a cluster. */
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

/** Fetches the names of the popular and trending rooms. The counts of the rooms arrive on the occupancy stream. */
export async function refresh() {
  try {
    const [popular, trending, cluster] = await Promise.all(
      ["rooms?by=popular&limit=100", "rooms?by=trending&limit=5", "cluster"].map(fetchJSON),
    );
    const firstRefresh = !popularRooms.length;
    popularRooms = popular.rooms.map(({ name }) => name);
    updateRows();
    if (firstRefresh) sort();
    showTrending(trending.rooms);
    showNodes(cluster);
    showReachable(true);
  } catch {
    showReachable(false); // until the next refresh
  }
}

export function redraw() {
  for (const { svg, subscription } of rows.values()) if (subscription) draw(svg, subscription.series);
  draw($("allPlot"), totals);
}
