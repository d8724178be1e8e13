// The list of all rooms, with the numbers of each as they change.

import { draw } from "./plot.js";
import { follow, Series } from "./series.js";

const $ = (id) => document.getElementById(id);
const rows = new Map(); // by the room's name
const format = new Intl.NumberFormat();
const together = new Series(); // the sums over all rows

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

/** Marks the room that this tab is in, if any. */
export function mark(room) {
  for (const { name, link } of rows.values()) {
    if (name === room) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** Shows whether what is shown is what is so. */
function connected(yes) {
  $("lost").textContent = yes ? "" : "Disconnected. Trying again …";
  $("totals").hidden = !yes;
  document.body.classList.toggle("stale", !yes);
}

/** Asks which rooms there are. How many are in each, the stream tells. */
export async function refresh(current) {
  let names;
  try {
    const response = await fetch("rooms");
    names = response.ok && new Set(await response.json());
  } catch {
    // as good as refused
  }
  connected(Boolean(names));
  if (!names) return; // the next time may do
  if (current) names.add(current);
  for (const row of [...rows.values()]) if (!names.has(row.name)) drop(row);
  for (const name of names) if (!rows.has(name)) $("rooms").append(newRow(name).item);
  mark(current);
  total();
}

/** Puts the largest first, unless somebody is about to choose. */
export function sort() {
  const list = $("rooms");
  if (list.matches(":hover, :focus-within")) return;
  const sorted = [...rows.values()].sort((a, b) => b.connections - a.connections || a.name.localeCompare(b.name));
  sorted.forEach(({ item }, i) => {
    if (list.children[i] !== item) list.insertBefore(item, list.children[i]);
  });
}

export function redraw() {
  for (const { svg, following } of rows.values()) if (following) draw(svg, following.series);
  draw($("allPlot"), together);
}
