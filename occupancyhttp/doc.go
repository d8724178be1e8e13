// Package occupancyhttp serves the room counts of an [occupancy.Engine] over HTTP, as JSON
// and as Server-Sent Events. It also serves a small JavaScript client for browsers.
//
// Mount the handler under any prefix:
//
//	h := occupancyhttp.NewHandler(engine)
//	mux.Handle("GET /occupancy/", http.StripPrefix("/occupancy", h))
//
// The handler answers GET and HEAD requests for these paths:
//
//	/rooms/{room}                    {"connections":103,"presenceMembers":95}
//	/?room=a&room=b                  {"rooms":{"a":{"connections":103,"presenceMembers":95},"b":…}}
//	/events?room=a&room=b            a stream of the events of the rooms
//	/rooms?by=popular&limit=10       a list of the popular or trending rooms, see [WithLists]
//	/rooms/events?by=…&limit=…       a stream of the changes of lists
//	/occupancy.js, /rooms.js         the browser client, without and with lists
//	/occupancy.d.ts, /rooms.d.ts     its types
//
// A query can contain:
//
//	room     the name of a room; at most 256 times
//	fresh=1  queries the other nodes of a cluster; not for streams and lists
//	by       adds a list: popular or trending; at most eight times
//	limit    the maximum length of a list, 1 to 100, by default 10; the first limit
//	         belongs to the first by, and so on
//
// {room} is the name of the room as one path segment, escaped with [url.PathEscape] or
// JavaScript's encodeURIComponent. For example, a slash in the name becomes %2F. Some
// proxies unescape paths, and browsers remove the path segments "." and "..". The paths
// with a query work for all names.
//
// The counts are those that the engine has, as returned by [occupancy.Engine.Current].
// With fresh=1 in the query, the handler queries the other nodes of a cluster with
// [occupancy.Engine.Get], and waits for at most four seconds. Concurrent requests for a
// room share one query. Further requests reuse its result for the engine's interval, or
// for one second if the interval is longer. If some nodes do not respond, the response
// contains the counts of the other nodes, and the header "Occupancy-Partial: true". If 1024
// rooms are being queried already, the response contains the counts that the engine has, and
// the same header.
//
// # Streams
//
// An event of a stream looks like this:
//
//	event: occupancy.updated
//	id: 17
//	: at 1764330000123
//	data: {"room":"lobby","type":"occupancy.updated","occupancy":{"connections":103,"presenceMembers":95}}
//
// The id is the version of the event in its room. The handler ignores Last-Event-ID,
// because each event contains the new value and not a difference. The comment contains the
// time at which the handler received the event from the engine, in milliseconds of the
// server's clock since 1970. A stream starts with the same comment. There are three other
// events: occupancy.list and occupancy.refused (see below), and occupancy.stale (see
// [WithHealth]).
//
//  1. A stream starts with one event for each room. If another stream of the room is open,
//     this first event is the newest event of the room. Otherwise it contains the current
//     occupancy. The first event is never older than the engine's interval.
//  2. A slow stream skips values, but never the last value, and does not delay other
//     streams. The handler closes a stream if a write to its client takes longer than
//     ten seconds. The ReadTimeout and WriteTimeout of the server do not apply to streams.
//     The kernel accepts small writes even if the client has vanished. [ConnContext] makes
//     the handler detect such a client.
//  3. One watcher of the engine serves all streams, and each event is encoded once. A
//     requested room costs no goroutine, and does not exist in the engine while it is empty.
//  4. A stream ends when the client disconnects, when the context of the request is done,
//     when the engine closes (after the last event), when the [http.Server] that
//     serves the request shuts down, and after its lifetime: see [WithStreamLifetime]. A
//     stream that opens during or after the shutdown is refused.
//
// # Lists
//
// With [WithLists], the handler serves the popular and the trending rooms of a
// [trending.Board]. total contains the totals of the service:
//
//	{"by":"popular","limit":10,
//	 "rooms":[{"name":"lobby","occupancy":{…},"arrivals":7,"usual":20,"ratio":0.28},…],
//	 "total":{"rooms":57,"connections":1034,"presenceMembers":950}}
//
// A stream sends what has changed in a list, at most once in each interval of the engine,
// and changes of the totals once a second:
//
//	event: occupancy.list
//	: at 1764330000123
//	data: {"by":"popular","limit":10,"length":10,"changed":[{"place":0,"name":"lobby",…}],"total":{…}}
//
// The client puts each changed room at its place, and shortens its list to the length. The
// first event contains the whole list. One stream can contain rooms and lists, as in
// /events?room=a&by=popular. The response to /?room=a&by=popular has the lists as "lists".
// With WithLists, a room named "events" has no path of its own: read it with ?room=events.
//
// # Access and limits
//
// Without [WithAuthorize], every client that can reach the handler can read the counts of
// every room whose name it knows. If a request for several rooms may read some of them, it
// is answered with these rooms. A stream reports each other room:
//
//	event: occupancy.refused
//	data: {"room":"board","status":403,"code":"forbidden","message":"access to this room is denied"}
//
// A stream is authorized when it opens. [Handler.Revoke] and [WithReauthorize] end the
// access of an open stream. If your function cannot check access now, return
// [ErrUnavailable].
//
// [WithMaxStreams] and [WithStreamKey] limit the number of open streams. [Handler.Stats]
// returns how many streams are open and how many were refused.
//
// The handler sets Access-Control-Expose-Headers for the headers that its browser client
// reads. It sets no other CORS headers; add them in your middleware if you need them.
//
// Middleware that compresses responses must not delay events. The handler sends
// "Cache-Control: no-transform", which some middleware respects. Configure other
// middleware to exclude text/event-stream. Middleware that wraps the [http.ResponseWriter]
// needs an Unwrap method. Streams need an [http.Server]. With the adaptors of other servers,
// such as fasthttp and fiber, streams are refused with the code "no_streaming".
//
// # HTTP/2
//
// Over HTTP/1.1 a browser opens at most six connections to a host, shared by all tabs, and a
// stream occupies one of them. With the browser client, the tabs share a stream if the page
// was loaded over HTTPS or from localhost. Therefore serve HTTP/2, which in browsers requires
// TLS. Set WriteByteTimeout in the server's [http.HTTP2Config]. Without this timeout, an
// HTTP/2 connection whose client has stopped reading is never closed, and its streams remain
// open.
package occupancyhttp
