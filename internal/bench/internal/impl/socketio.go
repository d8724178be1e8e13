package impl

import (
	socketio "github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// socketIO is the adapter of a Socket.IO server, which stores the rooms. Join and Leave
// make the same calls of the adapter as the methods Join and Leave of a socket.
type socketIO struct{ adapter socketio.Adapter }

func newSocketIO() Counter {
	return socketIO{socketio.NewServer(nil, nil).Sockets().Adapter()}
}

func (s socketIO) Join(room string, c *Conn) {
	s.adapter.AddAll(socketio.SocketId(c.ID), types.NewSet(socketio.Room(room)))
}

func (s socketIO) Leave(room string, c *Conn) {
	s.adapter.Del(socketio.SocketId(c.ID), socketio.Room(room))
}

func (s socketIO) Count(room string) int {
	if members, ok := s.adapter.Rooms().Load(socketio.Room(room)); ok {
		return members.Len()
	}
	return 0
}

func (s socketIO) Close() { s.adapter.Close() }
