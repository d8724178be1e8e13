// Package occupancyhttp shows what an [occupancy.Engine] counts to browsers and to
// whatever else speaks HTTP: as JSON, as Server-Sent Events, and by a small browser
// client that it serves too.
//
// Mount the handler under any prefix:
//
//	h := occupancyhttp.NewHandler(engine)
//	mux.Handle("/occupancy/", http.StripPrefix("/occupancy", h))
//
// It answers GET and HEAD for
//
//	/rooms/{room}/occupancy          {"connections":103,"presenceMembers":95}
//	/rooms/{room}/occupancy/events   a stream of the room's events
//	/occupancy/events?room=a&room=b  a stream of up to 256 rooms' events
//	/occupancy.js, /occupancy.d.ts   the browser client and its types
//
// where {room} is one segment, escaped as [url.PathEscape] and JavaScript's
// encodeURIComponent do: a slash in a room's name is %2F.
//
// A browser's URLs cannot name the rooms "." and ".." in a path, however escaped. The
// stream of many rooms can: it takes them from the query.
//
// # Streams
//
// A stream's events look like this, the first of each room at once:
//
//	event: occupancy.updated
//	id: 17
//	data: {"type":"occupancy.updated","occupancy":{"connections":103,"presenceMembers":95}}
//
// In a stream of many rooms data begins with the room, {"room":"lobby","type":…}. The id
// is the event's version in its room; a Last-Event-ID is ignored, because an event
// carries the new value and never a difference.
//
//  1. The first event of a room is what the streams of that room were told last, or its
//     occupancy now if there is none: never older than the engine's interval.
//  2. A stream that cannot keep up misses values, never the last one, and delays no
//     other. One whose client takes nothing for ten seconds is cut; the server's own
//     ReadTimeout and WriteTimeout end none.
//  3. However many streams a room has, the engine sees one subscription and each event
//     is encoded once.
//  4. A stream ends when its client goes, when its request's context is done, when the
//     engine closes (after the last event), and when the [http.Server] that it came by
//     shuts down.
//
// # Protecting it
//
// Without [WithAuthorize] whoever reaches the handler sees every room whose name they
// know. A stream is authorised when it opens; to end it later, cancel the context of its
// request in the middleware that made it. A stream makes its rooms exist, so
// [WithMaxStreams], and perhaps [occupancy.WithMaxRooms], bound what strangers can ask
// for. Cross-origin headers are the host's to add.
//
// A middleware that compresses, or wraps the [http.ResponseWriter] without an Unwrap method,
// keeps streams from being flushed: leave text/event-stream out of it.
//
// Over HTTP/1.1 a browser opens six connections to a host, for all its tabs, and each tab's
// stream holds one: serve HTTP/2, which needs TLS. Over HTTP/2 a connection that stopped
// reading altogether is cut, and its streams' places come free, only if the server's
// [http.HTTP2Config] has a WriteByteTimeout.
package occupancyhttp
