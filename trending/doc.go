// Package trending tells which rooms of an [occupancy.Engine] are worth entering: the
// popular ones, by their connections now, and the trending ones, by their heat.
//
// Heat is the number of connections that arrived in a room, each of them worth half
// after every half-life. It is kept by forward decay (Cormode, Shkapenyuk, Srivastava
// and Xu, "Forward Decay: A Practical Time Decay Model for Streaming Systems", ICDE
// 2009): an arrival is weighed once, by when it came, and all weights fade alike, so
// that no order changes while nobody arrives and nothing ever needs recomputing.
//
// A [Board] follows the engine with a Watcher, and so sees arrivals at the engine's
// interval: where a room's connections are more than when it was last told, the
// difference has arrived. A connection that came and went within an interval, or that
// took the place of one that went, is not seen. Those who were there already when the
// board was made have not arrived; those whom a peer node reports, when it links, have.
//
// A room that empties leaves the board, with its heat: one that begins again begins cold.
//
// # Lists and subscriptions
//
// [Board.Popular] and [Board.Trending] are exact. Rooms that are equal are in the
// order of their names; heats that should be, but came about differently, may differ by
// a rounding. A [Subscription] is for lists that people look at: it is told anew only
// when it changed, at most once an interval, and guarded against flicker by a margin
// that a room must be ahead of another to take its place.
//
// # Cost
//
// The board keeps each order as a heap. A room that changed costs O(log n) and in the
// mean much less, as most rooms move a step or two; those that did not change cost
// nothing. The first k are read in O(k log k) whatever the number of rooms. A room
// weighs about 140 bytes, beside its name, which is the engine's. What a heap
// does not know is how many are before a room: [Board.Rank] counts them. (Balanced trees
// do know, but at a million rooms were measured six times as slow to update by heat and
// almost twenty by connections, where names decide: each of the twenty comparisons of a
// search there misses the cache. BenchmarkOrder has both.)
package trending
