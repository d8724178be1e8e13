package cluster

import (
	"fmt"
	"strings"

	"github.com/occupancy/occupancy"
)

// errClosed is the error of a Get during which the node was closed.
var errClosed = fmt.Errorf("cluster: node is closed: %w", occupancy.ErrClosed)

// PartialError is the error of [occupancy.Engine.Get] if not every peer has answered, or
// if there may be peers that this node does not know yet: just after its start, while
// the bus is disconnected, and if there are more peers than WithMaxPeers.
//
// Get returns a sum together with this error: the counts of this process, the answers,
// and the last received counts of each peer in Missing.
type PartialError struct {
	Missing []string // the names of the peers that did not answer, sorted; may be empty
	Err     error    // the reason: for example context.DeadlineExceeded, or an error of the bus
}

func (e *PartialError) Error() string {
	if len(e.Missing) == 0 {
		return fmt.Sprintf("cluster: %v", e.Err)
	}
	return fmt.Sprintf("cluster: counts of %s are missing: %v", strings.Join(e.Missing, ", "), e.Err)
}

// Unwrap returns Err.
func (e *PartialError) Unwrap() error { return e.Err }
