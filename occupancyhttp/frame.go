package occupancyhttp

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/occupancy/occupancy"
)

// frame is an event in the format of Server-Sent Events.
type frame []byte

// newFrame encodes an event. head contains further lines of the frame.
func newFrame(event, head string, data any) frame {
	return frame("event: " + event + "\n" + head + "data: " + string(mustMarshal(data)) + "\n\n")
}

// newUpdate encodes the event of a room. Its id is the version of the event.
func newUpdate(e occupancy.RoomEvent) frame {
	return newFrame(string(e.Type), "id: "+strconv.FormatUint(e.Version, 10)+"\n"+timeLine(), e)
}

// timeLine returns a comment that contains the current time.
func timeLine() string { return ": at " + strconv.FormatInt(time.Now().UnixMilli(), 10) + "\n" }

// newStart returns the start of a stream. It sets the time after which an EventSource
// reconnects, which is random, so that the clients of a server that has stopped do not
// reconnect at the same moment.
func newStart(least time.Duration) frame {
	retry := (least + rand.N(4*time.Second)).Milliseconds()
	return frame("retry: " + strconv.FormatInt(retry, 10) + "\n" + timeLine() + "\n")
}
