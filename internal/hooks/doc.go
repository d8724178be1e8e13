// Package hooks contains the code that docs/embedding.md shows: how an existing server
// counts its connections with occupancy. There is one file for each shape of server, and
// the tests run each of them with real websocket clients that disconnect in every way
// they can.
package hooks
