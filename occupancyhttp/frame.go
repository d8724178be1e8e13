package occupancyhttp

import (
	"strconv"

	"github.com/occupancy/occupancy"
)

// frame is an event in the format of Server-Sent Events.
type frame []byte

// newFrame encodes an event without an id.
func newFrame(event string, data any) frame {
	return frame("event: " + event + "\ndata: " + string(mustMarshal(data)) + "\n\n")
}

// newUpdate encodes the event of a room. Its id is the version of the event.
func newUpdate(e occupancy.RoomEvent) frame {
	head := "event: " + string(e.Type) + "\nid: " + strconv.FormatUint(e.Version, 10) + "\ndata: "
	data := mustMarshal(e)
	f := make(frame, 0, len(head)+len(data)+2) // no larger, because each requested room keeps one
	f = append(f, head...)
	f = append(f, data...)
	return append(f, "\n\n"...)
}
