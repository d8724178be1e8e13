// Live occupancy of rooms: the browser client of the Go package occupancyhttp.
//
//   import { connect } from "/occupancy/occupancy.js";
//   const room = await connect("/occupancy").rooms.get("lobby");
//   const { unsubscribe } = room.occupancy.subscribe((event) => { console.log(event); });
//
// A browser opens only six HTTP/1.1 connections to a host. The client uses two of them: one for a
// stream, and one for JSON requests, which it sends one after another. Rooms that do not fit in the
// URL of the stream are polled. The tabs of a browser share the stream and the polling: one tab
// runs a feed, and sends what it receives to the other tabs.
//
// The client reads the stream with fetch and not with EventSource. EventSource retries without
// jitter, stops after status 503, does not report the status, and does not detect an open
// connection on which no data arrives any more.

const maxRooms = 256; // in one request: the limit of the server
const maxQuery = 7000; // characters: common proxies accept URLs of up to 8 kB
const timeout = 10e3; // ms in which a stream must send its first event, and a JSON request must end
const checkTime = 2e3; // ms in which a connection must send data after the tab or the device was asleep
const pollPeriod = 5e3; // ms between two JSON requests for a room
const streamRetry = 60e3; // ms between two attempts to open a stream while polling works
const maxBackoff = 30e3; // ms: the longest pause between two attempts, in addition to Retry-After
const heartbeat = 15e3; // ms: the default of the server
const forever = 2 ** 31 - 1; // ms: the longest time of a timer
const listMark = "\ud800"; // begins the name of a list: this mark and the list's part of a query. No room has such a name
const idle = { status: "idle", stale: false, reasons: [] };

const newError = (text, { message, ...properties } = {}) => Object.assign(new Error(`occupancy: ${text}`), properties);

/** Calls a function of the page. An error in the function does not stop the client. */
const call = (f, ...values) => {
  try {
    f(...values);
  } catch (error) {
    reportError(error);
  }
};

const updated = (occupancy) => ({ type: "occupancy.updated", occupancy });

const equal = (a, b) => JSON.stringify(a) === JSON.stringify(b);

const backoff = (failures) => Math.random() * Math.min(maxBackoff, 1e3 * 2 ** failures);

/** Removes names from the end of the list, as many as fit in one URL. Returns them and their query. */
const take = (names) => {
  const taken = [];
  let query = "";
  while (names.length && taken.length < maxRooms) {
    const name = names.at(-1);
    const part = name[0] === listMark ? name.slice(1) : `&room=${encodeURIComponent(name)}`;
    if (query.length + part.length > maxQuery) break;
    query += part;
    taken.push(names.pop());
  }
  return [taken, query.slice(1)];
};

/** Returns a pause: sleep resolves after ms, or when wake is called. */
const newPause = () => {
  let timer;
  let end;
  return {
    wake: () => {
      clearTimeout(timer);
      end?.();
    },
    sleep: (ms) =>
      new Promise((resolve) => {
        end = resolve;
        timer = setTimeout(resolve, Math.min(ms, forever)); // browsers fire longer timers at once
      }),
  };
};

/**
 * Returns a function that makes sure that f is called soon: in 10 ms if possible, but at most twice
 * a second, and every 1.4 seconds on average. Calls of f that return false do not count.
 */
const limited = (f) => {
  let planned = 0;
  let timer;
  return () => {
    timer ??= setTimeout(() => {
      timer = undefined;
      if (f()) planned = Math.max(planned, performance.now()) + 1400;
    }, Math.max(10, planned - 900 - performance.now()));
  };
};

/**
 * Connects to the handler that is mounted at base. Sends no request until a room is used. rooms.js
 * passes the function addLists, which adds methods to the object rooms.
 */
export const connect = (base, options = {}, addLists) => {
  const root = String(base).replace(/\/+$/, "");
  const share = options.share ?? !options.fetch;
  const rooms = new Map(); // by name; the rooms that were subscribed last are at the end
  const statusListeners = new Set();
  const connection = {
    ...idle,
    onStatusChange: (callback) => {
      const listener = { callback };
      statusListeners.add(listener);
      return { unsubscribe: () => statusListeners.delete(listener) };
    },
  };
  let state = idle; // of the feed, in this or in another tab
  let epoch = 0; // grows when the counts received so far may be outdated
  let closed = false;
  let tab; // while a room has a listener

  /** Sends a request. Throws a plain object with a message if the response is an error or has another content type. */
  const open = async (path, type, signal) => {
    const response = await (options.fetch ?? fetch)(root + path, { signal, cache: "no-store" });
    const { ok, status, headers } = response;
    const contentType = headers.get("Content-Type") ?? "";
    if (ok && contentType.startsWith(type)) return response;
    const { code, message = "request failed" } = (await response.json().catch(() => {}))?.error ?? {};
    throw {
      status,
      code,
      message: `${ok ? `unexpected content type ${contentType}: check the base URL and proxies` : message} (${status})`,
      permanent: status < 500 && ![408, 429].includes(status),
      retryAfter: 1e3 * headers.get("Retry-After"),
    };
  };

  /** Calls a listener with the room's newest event, unless the listener has unsubscribed or has received this event. */
  const deliver = (room, listener, publishedAt) => {
    const { event } = room;
    if (room.epoch !== epoch || listener.event === event || !room.listeners.has(listener)) return;
    listener.event = event;
    room.calling = listener.callback;
    call(listener.callback, event, publishedAt);
    room.calling = undefined;
  };

  /** Handles what a feed has received: a new state, changes (each is an array of a room's name, its newest event, and the time of publication), and errors. */
  const apply = ({ state: next = state, changes = [], errors = [] }) => {
    if (next.status !== "live") epoch++;
    const changed = !equal(next, state);
    Object.assign(connection, (state = next));
    if (changed) for (const { callback } of [...statusListeners]) call(callback, state.status);
    for (const [name, event, publishedAt] of changes) {
      const room = rooms.get(name);
      if (!room?.listeners.size) continue;
      room.epoch = epoch;
      [event.occupancy, event.rooms].map(Object.freeze);
      if (!equal(room.event, event)) room.event = Object.freeze(event);
      for (const listener of [...room.listeners]) deliver(room, listener, publishedAt);
    }
    for (const error of errors) {
      const refused = rooms.get(error.room);
      if (refused) {
        refused.refused = true;
        refused.event = undefined;
        update();
      }
      const callbacks = new Set(); // a function that handles the errors of many rooms is called once
      const concerned = error.room === undefined ? rooms.values() : refused ? [refused] : [];
      for (const { listeners } of concerned) for (const { onError } of listeners) callbacks.add(onError);
      for (const callback of callbacks) call(callback, newError(error.message, error));
    }
  };

  // JSON requests, one after another.
  let queue = Promise.resolve();
  const enqueue = (f) => (queue = queue.catch(() => {}).then(f));

  /** Returns the errors of these rooms if all of them are forbidden. Throws any other error, also status 401: the user may sign in later. */
  const refusals = (error, names) => {
    if (error.code !== "forbidden") throw error;
    return names.map((room) => ({ ...error, room }));
  };

  /** Requests the counts of as many rooms as fit in one URL, and removes them from the list. */
  const requestCounts = async (list, suffix = "") => {
    const [names, query] = take(list);
    try {
      const response = await open(`/?${query}${suffix}`, "application/json", AbortSignal.timeout(timeout));
      const { rooms, refused = {}, lists = [] } = await response.json();
      if (response.headers.get("Occupancy-Partial")) for (const occupancy of Object.values(rooms)) occupancy.partial = true;
      const changes = Object.entries(rooms).map(([name, occupancy]) => [name, updated(occupancy)]);
      for (const list of lists) changes.push(readList(list));
      return { changes, errors: Object.entries(refused).map(([room, code]) => ({ room, code, status: code === "forbidden" ? 403 : 401, message: code })) };
    } catch (error) {
      return { changes: [], errors: refusals(error, names) };
    }
  };

  let batch; // the calls of get whose request is not sent yet
  const sendBatch = async () => {
    const names = [...batch.names];
    batch = undefined;
    const answers = new Map();
    while (names.length) {
      const { changes, errors } = await requestCounts(names, "&fresh=1");
      for (const [name, event] of changes) answers.set(name, event);
      for (const error of errors) answers.set(error.room, { error });
    }
    return answers;
  };

  const get = async (name) => {
    batch ??= { names: new Set(), answers: enqueue(sendBatch) };
    const { names, answers } = batch;
    names.add(name);
    const expired = new Promise((_, reject) => setTimeout(reject, timeout, { message: "timeout" }));
    try {
      const { occupancy, error } = (await Promise.race([answers, expired])).get(name);
      if (error) throw error;
      return occupancy;
    } catch (cause) {
      throw newError(`cannot get room "${name}": ${cause.message}`, { ...cause, cause });
    }
  };

  /**
   * Returns a feed of the rooms that the tab with this ID needs. It keeps a stream open, polls the
   * rooms that the stream does not deliver, and passes states, changes and errors to emit, in the
   * form that apply handles.
   */
  const newFeed = (id, names, emit) => {
    const wants = new Map([[id, new Set(names)]]); // the names of the rooms that each tab needs, by tab
    const known = new Map(); // the newest events, by room
    const streamPause = newPause();
    const pollPause = newPause();
    let stopped = false;
    let controller; // of the newest connection
    let requested = new Set(); // the rooms of the current connection, without those that the server has refused
    let opened = false; // whether the current connection has delivered an event
    let reopening = false; // whether the connection ends because the feed wants to open another one
    let failures = 0; // streams without an event, in a row
    let pollFailures = 0; // in a row
    let reported = false; // whether a permanent failure was reported since the last event of a stream
    let watchdog;
    let grace; // a timer: until it fires, the status stays live although the stream is being reopened

    const isPolling = () => failures > 2; // streams do not work, so all rooms are polled
    const wanted = () => new Set([...wants.values()].flatMap((names) => [...names]));

    const setStatus = (status, properties) => {
      grace = clearTimeout(grace);
      if (status !== "live") known.clear();
      const next = { ...idle, status, ...properties };
      if (!equal(next, state)) emit({ state: next });
    };

    const startGrace = () => {
      if (state.status === "live") grace ??= setTimeout(setStatus, checkTime, "connecting");
    };

    const receive = (changes, errors) => {
      for (const [name, event] of changes) known.set(name, event);
      for (const { room } of errors) {
        for (const names of [...wants.values(), requested, known]) names.delete(room); // until a tab subscribes again
      }
      emit({ changes, errors });
    };

    const fail = (error) => {
      if (error.permanent && !reported) emit({ errors: [{ ...error, message: `cannot connect: ${error.message}` }] });
      reported ||= error.permanent;
      setStatus(error.permanent ? "failed" : "waiting");
    };

    /** Aborts the connection after ms, unless setWatchdog is called again. 0 stops the watchdog. */
    const setWatchdog = (ms) => {
      clearTimeout(watchdog);
      watchdog = ms && setTimeout(() => controller.abort(), ms);
    };

    /** Opens a connection and handles its events until it ends. */
    const read = async (query) => {
      setWatchdog(timeout);
      const requestedAt = Date.now();
      const { body, headers } = await open(`/events?${query}`, "text/event-stream", controller.signal);
      if (!body) throw { message: "no body in the response", permanent: true };
      const maxSilence = 3e3 * headers.get("Occupancy-Heartbeat");
      const reader = body.getReader();
      const decoder = new TextDecoder();
      const lists = {}; // the rooms of each list
      let health; // the data of the newest event occupancy.stale
      let startedAt; // the start of the stream, in the server's time
      let offset; // of the browser's clock from the server's clock
      /** Converts the time of an event to the browser's clock. The result is undefined if the event is older than the stream. */
      const publishedAt = (at) => (at > startedAt ? at + offset : undefined);
      for (let text = ""; ; ) {
        const { done, value } = await reader.read();
        if (done || controller.signal.aborted) return;
        reopening = false;
        const frames = (text + decoder.decode(value, { stream: true })).split("\n\n");
        text = frames.pop();
        const changes = [];
        const errors = [];
        for (const frame of frames) {
          const [head, data] = frame.split("\ndata: ");
          const at = +head.split(": at ")[1];
          offset ??= (requestedAt + Date.now()) / 2 - at; // the server sent this time between the request and now
          startedAt ??= at;
          if (!data) continue; // a comment, or the field retry
          try {
            const event = JSON.parse(data);
            if (event.occupancy) changes.push([event.room, updated(event.occupancy), publishedAt(at)]);
            else if (event.status) errors.push(event);
            else if (event.changed) changes.push([...readList(event, lists), publishedAt(at)]);
            else if ("stale" in event) health = event;
          } catch {
            throw { message: `invalid event: ${data.slice(0, 80)}`, permanent: true };
          }
        }
        const isFirst = !opened && changes.length + errors.length;
        if (isFirst) {
          opened = true;
          reported = false;
          failures = pollFailures = 0;
        }
        if (opened) {
          setWatchdog(maxSilence);
          setStatus("live", health);
        }
        receive(changes, errors);
        if (isFirst) reconcile(); // the set of rooms may have changed during the attempt
      }
    };

    /** Keeps a stream open until stop is called. */
    const runStream = async () => {
      while (!stopped) {
        const [names, query] = take([...wanted()]);
        requested = new Set(names);
        opened = reopening = false;
        controller = new AbortController();
        if (!query) {
          setStatus("idle");
          await streamPause.sleep(forever);
          continue;
        }
        if (state.status !== "live") setStatus("connecting");
        const error = await read(query)
          .catch((error) => {
            receive([], refusals(error, names));
            reopening = true; // with the other rooms
          })
          .catch((error) => error);
        setWatchdog(0);
        controller.abort();
        if (stopped || reopening) continue;
        if (opened && !error) startGrace(); // the server ends each stream after some time
        else {
          if (!isPolling() || pollFailures) fail(error ?? {});
          failures = Math.max(failures + !opened, error?.permanent ? 3 : 0);
        }
        opened = false;
        if (isPolling() && !pollFailures) pollPause.wake();
        await streamPause.sleep((error?.retryAfter || 0) + (isPolling() && streamRetry) + backoff(failures));
      }
    };

    /** Polls the rooms that the stream does not deliver, until stop is called. */
    const runPolls = async () => {
      const isPolled = (name) => isPolling() || !requested.has(name);
      while (!stopped) {
        const rest = [...wanted()].filter(isPolled);
        let ms = rest.length ? pollPeriod + backoff(1) : forever;
        try {
          while (rest.length) {
            const { changes, errors } = await enqueue(() => requestCounts(rest));
            if (stopped) return;
            if (isPolling()) {
              setStatus("live");
              if (pollFailures) streamPause.wake();
            }
            pollFailures = 0;
            receive(changes.filter(([name]) => isPolled(name)), errors);
          }
        } catch (error) {
          if (isPolling() && !stopped) fail(error);
          ms = (error.retryAfter || 0) + backoff(pollFailures++);
        }
        await pollPause.sleep(ms);
      }
    };

    /** Reopens the stream if its set of rooms has changed, and polls the other rooms if they have changed. Returns whether it reopens the stream. */
    const reconcile = () => {
      if (stopped) return false;
      const all = wanted();
      for (const name of known.keys()) if (!all.has(name)) known.delete(name);
      const polled = [...all];
      const [names] = take(polled);
      const isSame = names.length === requested.size && names.every((name) => requested.has(name));
      // While a room is needed, an attempt to connect is never aborted: frequent changes would abort every attempt.
      const reopens = !isSame && (opened || !names.length || !requested.size);
      if (reopens) {
        reopening = true;
        startGrace();
        controller.abort();
        streamPause.wake();
      }
      if (isPolling()) polled.push(...names);
      if (polled.some((name) => !known.has(name))) pollPause.wake();
      return reopens;
    };
    const update = limited(reconcile);
    const wake = () => {
      streamPause.wake();
      pollPause.wake();
    };

    startGrace(); // another tab may have run a feed until now
    queueMicrotask(runStream);
    queueMicrotask(runPolls);
    return {
      /** Sets the rooms that a tab needs. Returns whether the tab is new. */
      want: (id, names) => {
        const isNew = !wants.has(id);
        wants.set(id, new Set(names));
        emit({ state, changes: [...known] });
        update();
        return isNew;
      },
      /** Reopens the stream unless it sends data soon. */
      probe: () => {
        reopening = true; // unless data arrives
        startGrace();
        setWatchdog(checkTime);
        wake();
      },
      stop: () => {
        stopped = true;
        clearTimeout(grace);
        setWatchdog(0);
        controller?.abort();
        wake();
      },
    };
  };

  /** Starts to receive the counts of these rooms: runs a feed, or listens to the tab that runs it. */
  const join = (names) => {
    const left = new AbortController();
    const { signal } = left;
    const id = Math.random();
    const topic = `occupancy ${share} ${globalThis.document ? new URL(root, document.baseURI) : root}`;
    const { locks } = globalThis.navigator ?? {};
    const channel = share && locks ? new BroadcastChannel(topic) : undefined;
    let feed; // if this tab runs it
    let checkTimer, hiddenSince;

    const post = (message) => channel?.postMessage(message);
    const whenLeft = new Promise((resolve) => (signal.onabort = resolve));

    const announce = (probe) => (feed ? feed.want(id, names) : post({ from: id, names, probe }));

    const run = () => {
      feed = newFeed(id, names, (update) => {
        if (signal.aborted) return;
        post({ update });
        apply(update); // may close the client
      });
      post({}); // asks the other tabs to announce their rooms
    };

    /** Calls f when the lock of a tab is free. Each tab holds its lock, so that the tab that runs the feed notices when it is closed. */
    const lock = (id, f) => locks.request(`${topic} ${id}`, { signal }, f).catch(() => {});

    /** Runs the feed as soon as no other tab does: immediately with the option steal. */
    const acquire = (options) => {
      let own; // the feed of this lock
      const lead = () => {
        if (signal.aborted) return;
        clearTimeout(checkTimer);
        feed?.stop();
        run();
        own = feed;
        return whenLeft;
      };
      locks.request(topic, options, lead).catch(() => {
        if (signal.aborted || feed !== own) return;
        if (!feed) return run(); // this browser refuses locks, for example because the user blocks cookies
        feed.stop(); // another tab has stolen the lock
        feed = undefined;
        announce();
        acquire({ signal });
      });
    };

    /** Runs the feed unless the tab that runs it responds soon. The browser may have frozen that tab. */
    const check = (probe) => {
      clearTimeout(checkTimer);
      checkTimer = setTimeout(acquire, checkTime, { steal: true });
      announce(probe);
    };
    const checks = setInterval(() => feed || check(), heartbeat / 2);

    const wake = () => (feed ? feed.probe() : check(true));
    const on = (type, f) => globalThis.addEventListener?.(type, f, { signal, capture: true });
    on("online", wake);
    on("resume", wake);
    on("visibilitychange", () => {
      if (document.hidden) hiddenSince = Date.now();
      else if (Date.now() - hiddenSince > heartbeat) wake();
    });
    on("pagehide", () => {
      leave(); // a page with a connection or a lock cannot enter the back/forward cache
      addEventListener("pageshow", update, { once: true });
    });

    const leave = () => {
      tab = undefined;
      feed?.stop();
      left.abort();
      channel?.close();
      clearTimeout(checkTimer);
      clearInterval(checks);
      apply({ state: idle });
    };
    tab = {
      leave,
      want: (newNames) => {
        names = newNames;
        announce();
      },
    };

    apply({ state: { ...idle, status: "connecting" } });
    if (!channel) return run();
    channel.onmessage = ({ data: { from, names: wanted, probe, update } }) => {
      if (feed && from) {
        const { want } = feed;
        if (want(from, wanted)) lock(from, () => want(from, []));
        if (probe) feed.probe();
      } else if (!feed && !from) {
        clearTimeout(checkTimer);
        if (update) apply(update);
        else announce();
      }
    };
    acquire({ signal });
    lock(id, () => {
      announce();
      return whenLeft;
    });
  };

  /** Tells the feed which rooms this tab needs. */
  const update = limited(() => {
    const names = [];
    for (const room of rooms.values()) {
      if (!room.listeners.size) room.event = undefined;
      else if (!room.refused) names.push(room.name);
    }
    if (!names.length) tab?.leave();
    else if (tab) tab.want(names);
    else join(names);
    return true;
  });

  const newRoom = (name) => {
    // Later, room also has the fields event (the newest event), epoch (in which this event was
    // received), refused (whether the server has refused the room since the last call of
    // subscribe), and calling (the callback that is being called).
    const room = { name, listeners: new Set() };
    const occupancy = {
      subscribe: (callback, { onError = reportError } = {}) => {
        if (rooms.get(name) !== room) throw newError("released or closed");
        // A function that subscribes itself again while it is being called has received the event.
        const listener = { callback, onError, event: room.calling === callback ? room.event : undefined };
        if (!room.listeners.size) {
          rooms.delete(name);
          rooms.set(name, room);
        }
        room.listeners.add(listener);
        room.refused = false;
        if (room.epoch === epoch) setTimeout(deliver, 0, room, listener);
        update();
        const unsubscribe = () => {
          if (!room.listeners.delete(listener) || room.listeners.size) return;
          if (room.epoch !== epoch) room.event = undefined;
          update();
        };
        return { unsubscribe };
      },
      current: () => (room.listeners.size ? room.event?.occupancy : undefined),
      get: () => get(name),
    };
    room.handle = { name, occupancy };
    rooms.set(name, room);
    return room;
  };

  const use = (name) => {
    if (closed) throw newError("closed");
    return (rooms.get(name) ?? newRoom(name)).handle;
  };

  // lists contains the methods of rooms for lists. readList returns the name of a list and its newest
  // event, from the data of an event and the rooms of the lists so far.
  const { lists, readList } = addLists?.(use) ?? {};

  const release = (name) => {
    rooms.get(name)?.listeners.clear();
    rooms.delete(name);
    update();
  };

  return {
    rooms: {
      get: async (name) => {
        if (typeof name !== "string" || !name || /\p{Surrogate}/u.test(name) || new Blob([name]).size > 1024)
          throw new TypeError("occupancy: invalid room name: must be 1 to 1024 bytes of UTF-8");
        return use(name);
      },
      release,
      ...lists,
    },
    connection,
    close: () => {
      closed = true;
      statusListeners.clear();
      for (const name of rooms.keys()) release(name);
      tab?.leave();
    },
  };
};
