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
	data := mustMarshal(e)
	f := make(frame, 0, len(data)+64)
	f = append(f, "event: "...)
	f = append(f, e.Type...)
	f = append(f, "\nid: "...)
	f = strconv.AppendUint(f, e.Version, 10)
	f = append(f, "\ndata: "...)
	f = append(f, data...)
	return append(f, "\n\n"...)
}
