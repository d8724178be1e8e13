// Package hooks contains example servers that call the hooks of the engine: Join, Leave,
// Enter and Exit, or the methods of a lease. The examples are the code blocks of
// docs/embedding.md. The tests run each server with real websocket clients and disconnect
// the clients in all possible ways.
package hooks
