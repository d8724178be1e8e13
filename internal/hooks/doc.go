// Package hooks contains the code blocks of docs/embedding.md. Each file shows how one
// kind of server counts its connections. The tests run each server with real websocket
// clients and disconnect the clients in all possible ways.
package hooks
