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
//	/rooms/{room}/occupancy          {"connections":103,"presenceMembers":95}
//	/rooms/{room}/occupancy/events   a stream of the room's events
//	/occupancy/events?room=a&room=b  a stream of the events of up to 256 rooms
//	/occupancy.js, /occupancy.d.ts   the browser client and its types
//
// {room} is the name of the room as one path segment, escaped with [url.PathEscape] or
// JavaScript's encodeURIComponent. For example, a slash in the name becomes %2F.
//
// Browsers remove the path segments "." and "..", even escaped. For rooms with these names
// use the stream of several rooms, whose query contains the names.
//
// # Streams
//
// An event of a stream looks like this:
//
//	event: occupancy.updated
//	id: 17
//	data: {"type":"occupancy.updated","occupancy":{"connections":103,"presenceMembers":95}}
//
// In a stream of several rooms, data begins with the name of the room:
// {"room":"lobby","type":…}. The id is the version of the event in its room. The handler
// ignores Last-Event-ID, because each event contains the new value and not a difference.
//
//  1. A stream starts with one event for each room. If another stream of the room is open,
//     this first event is the newest event of the room. Otherwise it contains the current
//     occupancy. The first event is never older than the engine's interval.
//  2. A slow stream skips values, but never the last value, and does not delay other
//     streams. The handler closes a stream if a write to its client takes longer than
//     ten seconds. The ReadTimeout and WriteTimeout of the server do not apply to streams.
//  3. All streams of a room share one subscription of the engine, and each event is
//     encoded once.
//  4. A stream ends when the client disconnects, when the context of the request is done,
//     when the engine closes (after the last event), and when the [http.Server] that
//     serves the request shuts down.
//
// # Access and limits
//
// Without [WithAuthorize], every client that can reach the handler can read the counts of
// every room whose name it knows. A stream is authorized once, when it opens. To end an
// open stream, cancel the context of the request in your middleware.
//
// While a stream is open, the engine keeps each room of the stream in memory, even if the
// room is empty. [WithMaxStreams] limits the number of open streams, and
// [occupancy.WithMaxRooms] the number of empty rooms with subscribers.
// The handler sets no CORS headers; add them in your middleware if you need them.
//
// Middleware that compresses responses, or that wraps the [http.ResponseWriter] without an
// Unwrap method, prevents the handler from flushing events. Exclude text/event-stream
// from such middleware.
//
// # HTTP/2
//
// Over HTTP/1.1 a browser opens at most six connections to a host, shared by all tabs, and
// the stream of each tab occupies one connection. Therefore serve HTTP/2, which in browsers
// requires TLS. Set WriteByteTimeout in the server's [http.HTTP2Config]: without this timeout, an
// HTTP/2 connection whose client has stopped reading is never closed, and its streams
// remain open.
package occupancyhttp
