// The open room: the websocket of this tab, and the chat messages. The counts arrive on the
// occupancy stream. In a cluster, the connections by node arrive on the websocket.

import { measure, rooms, Series } from "./counts.js";
import { draw } from "./plot.js";

const $ = (id) => document.getElementById(id);
const format = new Intl.NumberFormat();
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const maxMessages = 300; // in the log

let storage = {}; // if the user has disabled localStorage
try {
  storage = localStorage;
} catch {
  // The nickname is not stored.
}

let room; // the open room, or undefined
let nodes = []; // of the cluster, sorted by name

/** Closes the current room and opens the room with this name. If name is undefined, no room is open afterwards. */
export function open(name) {
  room?.close();
  room = name === undefined ? undefined : new Room(name);
}

export function redraw() {
  if (!room) return;
  const counts = room.occupancy?.current();
  if (counts) room.series.add(counts, room.nodes);
  draw($("plot"), room.series, nodes.length > 1 ? nodes.map(({ name }) => name) : []);
  [...$("nodes").children].forEach((item, i) => {
    const { name, state } = nodes[i];
    item.lastChild.textContent = state === "live" ? format.format(room.nodes?.[name] ?? 0) : state;
  });
}

/** Shows the counts of the open room. */
function showCounts({ connections, presenceMembers, users }) {
  $("connections").textContent = format.format(connections);
  $("members").textContent = format.format(presenceMembers);
  $("users").textContent = format.format(users ?? 0); // the server omits users if it is 0
  redraw();
}

/** Shows the nodes of the cluster below the plot. */
export function showNodes(list) {
  nodes = list.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  $("nodes").replaceChildren(...nodes.map(({ name, state }, i) => {
    const item = document.createElement("li");
    item.className = state === "live" ? `node${i % 6}` : "lost";
    item.innerHTML = "<bdi></bdi> <span></span>";
    item.firstChild.textContent = name;
    return item;
  }));
  redraw();
}

/** Ends the plot, because the counts are not known any more. */
export const lose = () => room?.series.lose();

class Room {
  failures = 0;
  nickname = storage.nickname ?? ""; // with which the user has entered, or empty

  constructor(name) {
    this.name = name;
    this.series = new Series(name);
    $("roomTitle").textContent = name;
    $("newTab").href = location.href;
    for (const id of ["connections", "members", "users"]) $(id).textContent = "–";
    $("log").replaceChildren();
    $("plot").replaceChildren();
    $("room").classList.remove("refused");
    this.showForm();
    this.subscribe().catch((error) => this.refuse(error)); // the name is not valid
  }

  async subscribe() {
    const { occupancy } = await rooms.get(this.name);
    if (this.closed) return;
    this.occupancy = occupancy;
    occupancy.subscribe(({ occupancy }, publishedAt) => {
      showCounts(occupancy);
      measure(publishedAt);
    }, { onError: (error) => error.room === this.name && this.refuse(error) });
    this.connect();
  }

  /** Shows that the server refuses the room, and does not try again. */
  refuse(error) {
    if (this.closed) return;
    this.close();
    $("room").classList.add("refused");
    this.showStatus(`The server refuses this room (${error.message.replace(/^occupancy: /, "")}). Choose another name.`);
  }

  /** Connects with the nickname, so that the server recognizes a user whose page was reloaded or whose network broke. */
  connect() {
    const { nickname } = this;
    const query = new URLSearchParams({ room: this.name, ...(nickname && { clientId: nickname }) });
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/ws?${query}`);
    this.socket = socket;
    socket.onopen = () => {
      this.showStatus("");
      if (this.nickname !== nickname) this.sendNickname(); // it has changed while the socket was connecting
    };
    socket.onmessage = ({ data }) => {
      this.failures = 0; // not when the socket opens: the server may accept it only to refuse the client with a reason
      const message = JSON.parse(data);
      if (message.type === "occupancy.updated") {
        this.nodes = message.nodes;
        redraw();
      }
      if (message.type === "message") this.showMessage(message);
      if (message.type === "error") showError(message.error);
    };
    socket.onclose = ({ reason }) => {
      this.nodes = undefined;
      const delay = Math.random() * Math.min(15e3, 1e3 * 2 ** this.failures++);
      this.showStatus(`${reason ? `Chat disconnected: ${reason}` : "Chat disconnected"}. Reconnecting …`);
      this.retry = setTimeout(() => this.connect(), 300 + delay);
    };
  }

  close() {
    this.closed = true;
    clearTimeout(this.retry);
    if (this.socket) {
      this.socket.onclose = this.socket.onmessage = this.socket.onopen = null;
      this.socket.close(1000); // the server stops counting this connection immediately
    }
    rooms.release(this.name);
    this.showStatus("");
  }

  showStatus(text) {
    $("roomStatus").textContent = text;
  }

  send(message) {
    const isOpen = this.socket?.readyState === WebSocket.OPEN;
    if (isOpen) this.socket.send(JSON.stringify(message));
    return isOpen;
  }

  sendNickname() {
    this.send(this.nickname ? { type: "enter", clientId: this.nickname } : { type: "exit" });
  }

  /** Enters with the nickname, or exits if it is empty. */
  setNickname(nickname) {
    if (this.nickname) $("nickname").value = this.nickname; // the form proposes the last nickname
    this.nickname = nickname;
    storage.nickname = nickname;
    this.sendNickname();
    this.showForm();
    $(nickname ? "text" : "nickname").focus();
  }

  /** Shows the form for the nickname, or the form for messages if the user has entered a nickname. */
  showForm() {
    $("sender").textContent = this.nickname;
    $("text").placeholder = `Message as ${this.nickname}`;
    $("enterForm").hidden = this.nickname !== "";
    $("sayForm").hidden = this.nickname === "";
  }

  showMessage({ clientId, text }) {
    const item = document.createElement("li");
    item.className = clientId === this.nickname ? "own" : "";
    item.innerHTML = `<span class="avatar" aria-hidden="true"></span><p><b dir="auto"></b><time></time></p><p class="text" dir="auto"></p>`;
    const [avatar, head, body] = item.children;
    const previous = $("log").lastElementChild;
    if (previous?.dataset.sender === clientId) item.classList.add("continued");
    item.dataset.sender = clientId;
    avatar.textContent = [...clientId][0].toUpperCase();
    avatar.style.setProperty("--hue", [...clientId].reduce((sum, c) => (sum * 31 + c.codePointAt(0)) % 360, 7));
    head.firstChild.textContent = clientId;
    head.lastChild.textContent = clock.format();
    body.textContent = text;
    append(item);
  }
}

function showError(text) {
  const item = document.createElement("li");
  item.className = "note";
  item.textContent = text;
  append(item);
}

/** Adds an item to the log and scrolls to the end of the log, unless the user has scrolled up. */
function append(item) {
  const log = $("log");
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.append(item);
  while (log.children.length > maxMessages) log.firstChild.remove();
  if (atEnd) log.scrollTop = log.scrollHeight;
  $("newMessages").hidden = atEnd;
}

$("log").onscroll = () => {
  const log = $("log");
  if (log.scrollHeight - log.scrollTop - log.clientHeight < 40) $("newMessages").hidden = true;
};
$("newMessages").onclick = () => {
  $("log").scrollTop = $("log").scrollHeight;
};
$("enterForm").onsubmit = (event) => {
  event.preventDefault();
  const nickname = $("nickname").value.trim().toWellFormed();
  if (nickname) room.setNickname(nickname);
};
$("sayForm").onsubmit = (event) => {
  event.preventDefault();
  const text = $("text").value.trim().toWellFormed();
  if (text && room.send({ type: "say", text })) $("text").value = "";
};
$("exit").onclick = () => room.setNickname("");
