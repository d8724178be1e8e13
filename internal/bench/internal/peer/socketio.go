package peer

import (
	socketio "github.com/zishang520/socket.io/servers/socket/v3"
	"github.com/zishang520/socket.io/v3/pkg/types"
)

// socketIO is the room table of a Socket.IO server, as its sockets' Join and Leave use it.
type socketIO struct{ adapter socketio.Adapter }

func newSocketIO() Peer {
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
