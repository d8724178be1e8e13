package occupancyhttp

import (
	"encoding/json"
	"strconv"

	"github.com/occupancy/occupancy"
)

// frame is one event as it goes over the wire, encoded once for all streams.
type frame struct {
	one  []byte // for a stream of this room alone
	many []byte // for one that says which room it means
}

// quote is the room's name in JSON.
func quote(room string) []byte {
	quoted, err := json.Marshal(room)
	if err != nil {
		panic(err) // of a string, this cannot be
	}
	return quoted
}

// encode makes the frame of an event in a room whose quoted name is room.
func encode(e occupancy.Event, room []byte) *frame {
	data, err := json.Marshal(e)
	if err != nil {
		panic(err) // of strings and numbers, this cannot be
	}
	head := "event: " + string(e.Type) + "\nid: " + strconv.FormatUint(e.Version, 10) + "\ndata: "
	// Both in one piece of memory. The room goes before the other fields of the object.
	b := make([]byte, 0, 2*(len(head)+len(data)+2)+len(`{"room":,`)+len(room))
	b = append(b, head...)
	b = append(b, data...)
	b = append(b, "\n\n"...)
	n := len(b)
	b = append(b, head...)
	b = append(b, `{"room":`...)
	b = append(b, room...)
	b = append(b, ',')
	b = append(b, data[1:]...)
	b = append(b, "\n\n"...)
	return &frame{one: b[:n:n], many: b[n:]}
}
