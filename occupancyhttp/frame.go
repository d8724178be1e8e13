package occupancyhttp

import (
	"strconv"

	"github.com/occupancy/occupancy"
)

// frame is an event in the format of Server-Sent Events. It is encoded once for all streams.
type frame struct {
	plain    []byte // for a stream of one room
	withRoom []byte // for a stream of several rooms
}

// newFrame encodes an event. roomJSON is the name of the event's room as JSON.
func newFrame(e occupancy.Event, roomJSON []byte) *frame {
	data := mustMarshal(e)
	head := "event: " + string(e.Type) + "\nid: " + strconv.FormatUint(e.Version, 10) + "\ndata: "
	// One allocation holds both encodings. withRoom has the room as the first JSON field.
	b := make([]byte, 0, 2*(len(head)+len(data)+2)+len(`{"room":,`)+len(roomJSON))
	b = append(b, head...)
	b = append(b, data...)
	b = append(b, "\n\n"...)
	n := len(b)
	b = append(b, head...)
	b = append(b, `{"room":`...)
	b = append(b, roomJSON...)
	b = append(b, ',')
	b = append(b, data[1:]...)
	b = append(b, "\n\n"...)
	return &frame{plain: b[:n:n], withRoom: b[n:]}
}
