// The list of popular rooms with their current counts, the list of trending rooms, and the totals.

import { draw } from "./plot.js";
import { fetchJSON, subscribe, Series } from "./series.js";

const $ = (id) => document.getElementById(id);
const rows = new Map(); // by room name
const format = new Intl.NumberFormat();
const totals = new Series(); // the counts of all rooms of the server
const suggestedRooms = ["lobby", "music", "games", "books", "night owls"]; // listed even if they are empty; bots.go contains the same names
const stillness = matchMedia("(prefers-reduced-motion: reduce)");
let popularRooms = []; // names
let currentRoom; // the name of the open room, or undefined

export const fragment = (name) => `#${encodeURIComponent(name)}`;

function newRow(name) {
  const item = document.createElement("li");
  item.innerHTML = `<a><span class="name" dir="auto"></span><svg preserveAspectRatio="none" aria-hidden="true"></svg>
    <span class="connections"><b>–</b><span class="unseen"> connected, </span></span>
    <span class="members"><b>–</b><span class="unseen"> present</span></span></a>`;
  const link = item.firstElementChild;
  const [label, svg] = link.children;
  label.textContent = name;
  link.href = fragment(name);
  const row = { name, item, link, svg, connections: 0, presenceMembers: 0, removed: false };
  rows.set(name, row);
  const listener = {
    update(occupancy) {
      Object.assign(row, occupancy, { changed: true });
      showChanges();
    },
    refuse() {
      if (name === currentRoom) currentRoom = undefined;
      removeRow(row);
    },
  };
  subscribe(name, listener).then((subscription) => {
    row.subscription = subscription;
    if (row.removed) subscription.stop();
  }, listener.refuse);
  return row;
}

function removeRow(row) {
  row.removed = true;
  row.subscription?.stop();
  row.item.remove();
  rows.delete(row.name);
}

let planned = false;

/** Shows the changes of all rows together, and sorts the rows. */
function showChanges() {
  if (planned) return;
  planned = true;
  queueMicrotask(() => {
    planned = false;
    const list = $("rooms");
    if (list.matches(":active")) return; // a click must not hit another row; redraw shows the changes later
    for (const row of rows.values()) if (row.changed) showCounts(row);
    sort(list);
  });
}

function showCounts(row) {
  row.changed = false;
  const { item, link, connections, presenceMembers } = row;
  link.querySelector(".connections b").textContent = format.format(connections);
  link.querySelector(".members b").textContent = format.format(presenceMembers);
  item.classList.toggle("empty", connections === 0);
}

/** Sorts the rows by the counts that they show. Rows that change their places move visibly. */
function sort(list) {
  const sorted = [...rows.values()]
    .sort((a, b) => b.connections - a.connections || b.presenceMembers - a.presenceMembers || (a.name < b.name ? -1 : 1))
    .map(({ item }) => item);
  if (sorted.every((item, i) => list.children[i] === item)) return;
  const tops = new Map(sorted.map((item) => [item, item.isConnected ? item.offsetTop : undefined]));
  sorted.forEach((item, i) => {
    // An item that moves in the document loses the focus, so the other items move around the focused one.
    if (item.contains(document.activeElement)) while (list.children[i] !== item) list.append(list.children[i]);
    else if (list.children[i] !== item) list.insertBefore(item, list.children[i] ?? null);
  });
  if (stillness.matches) return;
  for (const [item, top] of tops) {
    const distance = top - item.offsetTop; // NaN for a new item
    if (!distance) continue;
    const zIndex = distance > 0 ? 2 : 1; // an item that rises is in front
    item.animate([{ transform: `translateY(${distance}px)`, zIndex }, { transform: "none", zIndex }], { duration: 350, easing: "ease-out", composite: "add" });
  }
}

/** Marks the open room in the list, and adds it to the list if necessary. room may be undefined. */
export function setCurrentRoom(room) {
  currentRoom = room;
  updateRows();
}

/** Adds and removes rows so that the list shows the popular rooms, the suggested rooms and the open room. */
function updateRows() {
  const names = new Set([...popularRooms, ...suggestedRooms]);
  if (currentRoom) names.add(currentRoom);
  for (const row of [...rows.values()]) if (!names.has(row.name)) removeRow(row);
  for (const name of names) if (!rows.has(name)) newRow(name);
  for (const { name, link } of rows.values()) {
    if (name === currentRoom) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  showChanges();
}

/** Shows the trending rooms, unless the mouse pointer or the focus is in the list. */
function showTrending(list) {
  const items = $("trendingList");
  if (items.matches(":hover, :focus-within") && list.length) return;
  items.replaceChildren(...list.map(({ name, arrivals: recent }) => {
    const item = document.createElement("li");
    item.innerHTML = `<a><span class="name" dir="auto"></span> <span class="arrivals" aria-hidden="true"></span></a>`;
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

let eventCounts = []; // { time, events } of the last ten seconds: how many events the server had published

function showEventRate(events) {
  const time = Date.now();
  if (events < eventCounts.at(-1)?.events) eventCounts = []; // the server was restarted
  eventCounts = [...eventCounts.filter((count) => count.time > time - 10e3), { time, events }];
  const [first] = eventCounts;
  if (time > first.time) $("eventRate").textContent = format.format(Math.round((1e3 * (events - first.events)) / (time - first.time)));
}

/** Shows the buttons that change what the bots do, if there are bots. */
function showScenes(bots, scene) {
  $("scenes").hidden = !bots;
  $("bots").textContent = format.format(bots);
  for (const button of $("scenes").querySelectorAll("button")) button.ariaPressed = button.dataset.scene === scene;
}
$("scenes").onclick = ({ target: { dataset } }) => {
  if (dataset.scene) fetch(`scene?name=${dataset.scene}`, { method: "POST" }).catch(() => {}); // the next refresh shows the scene
};

function showTotals({ rooms, connections, presenceMembers, events, bots, scene }) {
  showEventRate(events);
  showScenes(bots, scene);
  $("totalRooms").textContent = format.format(rooms);
  $("totalRooms").nextSibling.textContent = rooms === 1 ? " room in use" : " rooms in use";
  $("allConnections").textContent = format.format(connections);
  $("allMembers").textContent = format.format(presenceMembers);
  totals.add({ connections, presenceMembers });
}

/** Ends the plot of the totals, until the next refresh. */
export function lose() {
  totals.lose();
}

/** Shows the number of nodes if the chat server is in a cluster. */
function showNodes({ name, nodes, degraded }) {
  const span = $("nodes");
  span.hidden = name === undefined;
  span.textContent = ` on ${nodes} ${nodes === 1 ? "node" : "nodes"}${degraded ? ", degraded" : ""}`;
  span.title = degraded ? `${name} has lost the connection to other nodes: their counts may be out of date` : `this node is ${name}`;
  span.classList.toggle("degraded", degraded ?? false);
}

let refreshing = false;

/**
 * Fetches the totals, and the names of the popular and trending rooms. The counts of the rooms arrive on
 * the occupancy stream. Calls report with whether the server has responded.
 */
export async function refresh(report) {
  if (refreshing) return;
  refreshing = true;
  try {
    const wasKnown = totals.isKnown;
    const [popular, trending, cluster, all, history] = await Promise.all(
      ["rooms?by=popular&limit=100", "rooms?by=trending&limit=5", "cluster", "totals", ...(wasKnown ? [] : ["history"])].map(fetchJSON),
    );
    popularRooms = popular.rooms.map(({ name }) => name);
    updateRows();
    showTrending(trending.rooms);
    showNodes(cluster);
    showTotals(all);
    totals.merge(history?.totals);
    report(true);
  } catch {
    lose();
    report(false); // until the next refresh
  } finally {
    refreshing = false;
  }
}

export function redraw() {
  showChanges();
  for (const { svg, subscription } of rows.values()) if (subscription) draw(svg, subscription.series);
  draw($("allPlot"), totals);
}
