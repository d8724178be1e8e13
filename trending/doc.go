// Package trending ranks the rooms of an [occupancy.Engine] while they change: popular
// rooms by their size, and trending rooms by their growth.
//
// A room trends if many people have arrived recently, compared with its usual size:
//
//   - Arrivals are the people who arrived recently, less the people who left. A change loses
//     half its weight every ten minutes.
//   - Usual is the size that the room had in the last hours. It follows the room's size with a
//     half-life of four hours.
//   - Ratio = Arrivals / (Usual + 5). The trending rooms are sorted by their ratios.
//   - A room is listed while it has at least five arrivals and a ratio of at least 0.25. So
//     two people in an empty room do not trend, and neither does a room that is always busy.
//
// [WithHalfLife] and [WithMinimum] change the ten minutes and the five arrivals. The page
// docs/trending.md shows which rooms trend in the situations that servers meet.
//
// # Arrivals
//
// A [Board] reads the changes of the counts. It does not know the clients, so those who left
// cancel those who arrived. This makes the usual causes of wrong trends harmless: a client
// that reconnects again and again, a page that is reloaded, a network in which all
// clients connect again before their old connections time out, a load balancer that
// restarts, a client that moves to another node. If all clients of a room return within four
// minutes, it does not trend.
//
// The ID of a client matters if the board counts users: see [WithCount]. Then a second tab
// of a user who is in the room is not an arrival.
//
// The clients that are connected when the board is created are not arrivals, and neither are
// those that connect, or lose their connections, in the first minute: see [WithWarmup]. The
// clients of a node that is linked later are not arrivals: see [Board.Expect]. The interval of the
// engine does not matter, because a change has the same weight however the engine groups the
// changes into events.
//
// A room that empties is no longer listed, but the board remembers its arrivals and its usual
// size until they no longer matter. It remembers at most as many empty rooms as it had rooms,
// or 4096.
//
// # Sources
//
// Comparing a short moving average of a size with a long one is known as MACD, for example in Lu
// and Yang, "Trend Analysis of News Topics on Twitter" (IJMLC 2012). Adding a constant to the
// usual value follows Schubert, Weiler and Kriegel, "SigniTrend" (KDD 2014). The weights are the
// forward decay of Cormode et al. (ICDE 2009). [Board.Top] stops when no other room can be
// listed, like the threshold algorithm of Fagin, Lotem and Naor (PODS 2001).
//
// # Cost
//
// The board has a heap for each order. Rooms that do not change cost nothing, unless they
// trend or have emptied: these are visited every eighth of a half-life.
//
// The ratios of two rooms may change places while nothing happens, so the heap of the trending
// rooms contains bounds. While a room does not change, its ratio decreases to 2^(-23/24) of its
// value or less in each half-life. All bounds decrease by this factor, so their order does not
// change. With a million rooms of which 31,000 trend, the first hundred take 127 visits. With a
// heap that is sorted by arrivals they took 5,140.
package trending
