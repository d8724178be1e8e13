// Package trending ranks the rooms of an [occupancy.Engine] while they change: popular
// rooms by their number of connections, and trending rooms by their heat.
//
// The heat of a room is the number of connections that arrived in it, where each
// arrival loses half its weight with every half-life. The package computes it by
// forward decay (Cormode, Shkapenyuk, Srivastava and Xu, "Forward Decay: A Practical
// Time Decay Model for Streaming Systems", ICDE 2009): an arrival gets its weight once,
// from its time, and all weights decay at the same rate. So the order of the rooms
// changes only with arrivals, and nothing is recomputed as time passes.
//
// A [Board] reads the engine's changes from a Watcher. When a room's number of
// connections is higher than in the previous event, the difference counts as arrivals.
// The board does not see a connection that came and went within one interval of the
// engine, or that replaced another one within it. The connections that exist when the
// board is created are not arrivals. The connections of a node that is linked later are.
//
// A room that empties leaves the board and loses its heat.
//
// # Lists and subscriptions
//
// [Board.Popular] and [Board.Trending] return exact lists. Equal rooms are sorted by
// name. The heats of two rooms can differ by a rounding error where they should be equal.
//
// A [Subscription] is for lists on a screen. It receives a list only when the list
// changed, and at most one in each interval. A margin prevents flicker: a room takes the
// place of another only when it is ahead of it by more than the margin.
//
// # Cost
//
// The board keeps a heap for each order. A change of a room takes O(log n), and usually
// much less, because most rooms move by a step or two. Rooms that do not change cost
// nothing. Reading the first k rooms takes O(k log k), independent of the number of
// rooms. A room takes about 140 bytes in addition to its name, whose bytes are shared
// with the engine.
//
// A heap does not store the rank of its elements, so [Board.Rank] counts the rooms that
// are ahead. A balanced tree stores it, but with a million rooms its updates were
// measured to take six times as long by heat, and almost twenty times as long by
// connections, where ties are common and each comparison reads the names from memory.
// BenchmarkOrder measures the heap, and BenchmarkOrderBTree of internal/bench a tree.
package trending
