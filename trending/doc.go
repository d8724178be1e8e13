// Package trending ranks the rooms of an [occupancy.Engine] while they change: popular
// rooms by their number of connections, and trending rooms by their heat.
//
// The heat of a room is the sum of the weights of its arrivals. A connection that arrives
// has the weight 1, which halves with every half-life. As time passes, the heats of all
// rooms decrease by the same factor, so the order of the rooms changes only when a
// connection arrives. The package uses this fact and recomputes nothing as time passes
// (Cormode, Shkapenyuk, Srivastava and Xu, "Forward Decay: A Practical Time Decay Model
// for Streaming Systems", ICDE 2009).
//
// A [Board] reads the engine's changes from a Watcher. When a room's number of
// connections is higher than in the previous event, the difference counts as arrivals.
// Within one interval of the engine, an arrival and a departure cancel each other out.
// The connections that exist when the board is created are not arrivals. The connections
// of a node that is linked later are arrivals.
//
// A room that empties leaves the board and loses its heat.
//
// # Lists and subscriptions
//
// [Board.Popular] and [Board.Trending] return exact lists. Rooms with equal values are
// sorted by name. Because of rounding, heats that should be equal may differ slightly.
//
// A [Subscription] is for lists on a screen. It receives a list only when the list
// changed, and at most one list in each interval. A margin prevents flicker: a room
// passes the room above only when its value is greater by more than the margin.
//
// # Cost
//
// The board has a heap for each order. A change of a room takes O(log n), and usually
// much less, because most rooms move by only one or two steps. Rooms that do not change
// cost nothing. Reading the first k rooms takes O(k log k), independent of the number of
// rooms. A room takes about 140 bytes in addition to its name, which the board shares with
// the engine.
//
// A heap does not store the ranks of the rooms, so [Board.Rank] counts the rooms that are
// ahead. A balanced tree can store ranks, but its updates are slower. With a million rooms
// an update of a tree took six times as long in the order of heats. In the order of
// connections it took almost twenty times as long, because many rooms have equal values
// and a comparison of such rooms reads both names from memory. BenchmarkHeap measures the
// heap, and BenchmarkBTree of internal/bench measures a tree.
package trending
