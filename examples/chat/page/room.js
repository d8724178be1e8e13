// One room: the websocket that this tab is counted by, and what is said there. The numbers
// come by the occupancy stream, as they do for the list of rooms.

import { draw } from "./plot.js";
import { follow } from "./series.js";

const $ = (id) => document.getElementById(id);
const format = new Intl.NumberFormat();
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const kept = 300; // messages

let room; // that this tab is in

/** Leaves the room that this tab is in, if any, and goes to another, if named. */
export function visit(name) {
  room?.leave();
  room = name === undefined ? undefined : new Room(name);
}

export function redraw() {
  if (!room?.following) return;
  const { top, length } = draw($("plot"), room.following.series);
  $("plotTop").textContent = format.format(top);
  $("plotFrom").textContent = length < 90e3 ? `${Math.round(length / 1e3)} s ago` : `${Math.round(length / 60e3)} min ago`;
}

class Room {
  failures = 0;
  nickname = "";

  constructor(name) {
    this.name = name;
    $("roomTitle").textContent = name;
    $("another").href = location.href;
    $("connections").textContent = $("members").textContent = "–";
    $("log").replaceChildren();
    $("plot").replaceChildren();
    $("nickname").value ||= remembered.get("nickname");
    this.show();
    follow(name, ({ connections, presenceMembers }) => {
      $("connections").textContent = format.format(connections);
      $("members").textContent = format.format(presenceMembers);
      redraw();
    }).then((following) => {
      if (this.left) following.stop();
      else this.following = following;
      redraw();
    });
    this.connect();
  }

  connect() {
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/ws/${encodeURIComponent(this.name)}`);
    this.socket = socket;
    socket.onopen = () => {
      this.failures = 0;
      this.status("");
      if (this.nickname) this.send({ type: "enter", clientId: this.nickname });
    };
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.type === "message") this.hear(message);
      if (message.type === "error") note(message.error);
    };
    socket.onclose = ({ reason }) => {
      const wait = Math.random() * Math.min(15e3, 1e3 * 2 ** this.failures++);
      this.status(`${reason ? `Disconnected: ${reason}` : "Disconnected"}. Trying again …`);
      this.retry = setTimeout(() => this.connect(), 300 + wait);
    };
  }

  leave() {
    this.left = true;
    clearTimeout(this.retry);
    this.socket.onclose = this.socket.onmessage = this.socket.onopen = null;
    this.socket.close();
    this.following?.stop();
    this.status("");
  }

  status(text) {
    $("status").textContent = text;
    document.body.classList.toggle("offline", text !== "");
  }

  send(message) {
    const open = this.socket.readyState === WebSocket.OPEN;
    if (open) this.socket.send(JSON.stringify(message));
    return open;
  }

  enter(nickname) {
    this.nickname = nickname;
    remembered.set("nickname", nickname);
    this.send({ type: "enter", clientId: nickname });
    this.show();
    $("text").focus();
  }

  exit() {
    this.nickname = "";
    this.send({ type: "exit" });
    this.show();
    $("nickname").focus();
  }

  /** Shows the form that fits: one enters first and then talks. */
  show() {
    $("me").textContent = this.nickname;
    $("text").placeholder = `Message as ${this.nickname}`;
    $("enterForm").hidden = this.nickname !== "";
    $("sayForm").hidden = this.nickname === "";
  }

  hear({ clientId, text }) {
    const item = document.createElement("li");
    item.className = clientId === this.nickname ? "own" : "";
    item.innerHTML = `<span class="face" aria-hidden="true"></span><p><b></b><time></time></p><p class="text"></p>`;
    const [face, head, body] = item.children;
    const previous = $("log").lastElementChild;
    if (previous?.dataset.by === clientId) item.classList.add("more");
    item.dataset.by = clientId;
    face.textContent = [...clientId][0].toUpperCase();
    face.style.setProperty("--hue", [...clientId].reduce((sum, c) => (sum * 31 + c.codePointAt(0)) % 360, 7));
    head.firstChild.textContent = clientId;
    head.lastChild.textContent = clock.format();
    body.textContent = text;
    append(item);
  }
}

/** What this browser remembers; a private one may not let it. */
const remembered = {
  get(key) {
    try {
      return localStorage.getItem(key) ?? "";
    } catch {
      return "";
    }
  },
  set(key, value) {
    try {
      localStorage.setItem(key, value);
    } catch {
      // then not
    }
  },
};

function note(text) {
  const item = document.createElement("li");
  item.className = "note";
  item.textContent = text;
  append(item);
}

/** Adds to the log, and follows it unless somebody reads further up. */
function append(item) {
  const log = $("log");
  const follows = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.append(item);
  while (log.children.length > kept) log.firstChild.remove();
  if (follows) log.scrollTop = log.scrollHeight;
  $("newer").hidden = follows;
}

$("log").onscroll = () => {
  const log = $("log");
  if (log.scrollHeight - log.scrollTop - log.clientHeight < 40) $("newer").hidden = true;
};
$("newer").onclick = () => {
  $("log").scrollTop = $("log").scrollHeight;
};
$("enterForm").onsubmit = (event) => {
  event.preventDefault();
  const nickname = $("nickname").value.trim();
  if (nickname) room.enter(nickname);
};
$("sayForm").onsubmit = (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (text && room.send({ type: "say", text })) $("text").value = "";
};
$("leave").onclick = () => room.exit();
