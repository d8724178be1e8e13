// The part of the page about all rooms together: their totals, the latency of the counts, the nodes of
// the cluster, and the scenes of the bots.

import { fetchJSON, latency, Series } from "./counts.js";
import { draw } from "./plot.js";
import { showNodes } from "./room.js";

const $ = (id) => document.getElementById(id);
const format = new Intl.NumberFormat();
const series = new Series(); // of the totals
let totals; // the newest
let published = []; // { time, count } of the last ten seconds: how many events the server had published

export function showTotals(newest) {
  totals = newest;
  const { rooms, connections, presenceMembers } = totals;
  $("totalRooms").textContent = format.format(rooms);
  $("totalRoomsLabel").textContent = rooms === 1 ? "room" : "rooms";
  $("allConnections").textContent = format.format(connections);
  $("allMembers").textContent = format.format(presenceMembers);
  series.add(totals);
}

/** Ends the plot, because the counts are not known any more. */
export const lose = () => series.lose();

export function redraw() {
  if (totals) series.add(totals);
  draw($("allPlot"), series);
  for (const [id, part] of [["latency", 0.5], ["latency95", 0.95]]) {
    const delay = latency(part);
    $(id).textContent = delay === undefined ? "–" : `${format.format(Math.round(delay))} ms`;
  }
}

function showEventRate(count) {
  const time = Date.now();
  if (count < published.at(-1)?.count) published = []; // the server was restarted
  published = [...published.filter((sample) => sample.time > time - 10e3), { time, count }];
  const [first] = published;
  if (time > first.time) $("eventRate").textContent = format.format(Math.round((1e3 * (count - first.count)) / (time - first.time)));
}

/** Shows the buttons that start a scene, if there are bots. */
function showScenes({ bots, scenes }) {
  $("scenes").hidden = !bots;
  $("bots").textContent = format.format(bots);
  for (const button of $("scenes").querySelectorAll("button")) {
    const scene = scenes.find(({ name }) => name === button.dataset.scene);
    button.hidden = !scene;
    button.classList.toggle("running", scene?.playing ?? false);
  }
}

$("scenes").onclick = async ({ target }) => {
  const { scene } = target.closest("button")?.dataset ?? {};
  if (!scene) return;
  await fetch(`scene?name=${scene}`, { method: "POST" }).catch(() => {}); // the stream reports that the server cannot be reached
  refresh();
};

/** Shows the number of nodes if the chat server is in a cluster. */
function showNodeCount(nodes) {
  const live = nodes.filter(({ state }) => state === "live").length;
  const label = nodes.length === 1 ? "node" : "nodes";
  $("nodeCount").textContent = !nodes.length ? "" : live < nodes.length ? ` · ${live} of ${nodes.length} ${label}` : ` · ${live} ${label}`;
  $("nodeCount").classList.toggle("lost", live < nodes.length);
}

let refreshing = false;

/** Fetches what does not arrive on a stream. */
export async function refresh() {
  if (refreshing) return;
  refreshing = true;
  try {
    const status = await fetchJSON("status");
    showEventRate(status.published);
    showScenes(status);
    showNodeCount(status.nodes);
    showNodes(status.nodes);
  } catch {
    // The stream reports that the server cannot be reached.
  } finally {
    refreshing = false;
  }
}
