// Package hooks shows how occupancy is added to a server that exists already: one
// file for each of three websocket libraries, with all that it takes between two
// marks, and a test that runs it.
package hooks
