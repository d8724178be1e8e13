package cluster

import (
	"fmt"
	"strings"

	"github.com/occupancy/occupancy"
)

// ErrBusInUse is the error of [Start] if another node uses the Bus.
const ErrBusInUse occupancy.Error = "cluster: the Bus is in use by another node: give each node its own Bus"

// errClosed is the error of a Get during which the node was closed.
var errClosed = fmt.Errorf("cluster: node is closed: %w", occupancy.ErrClosed)

// PartialError is the error of [occupancy.Engine.Get] and [Node.Top] if a peer did not answer, or
// if the node may not know all peers. A node may not know all peers shortly after its start,
// while its bus is disconnected, if it knows fewer nodes than WithExpectedNodes requires,
// and if there are more peers than WithMaxPeers allows.
//
// Together with this error, Get returns the sum of three parts: the counts of this
// process, the counts in the answers, and the last received counts of the peers that did
// not answer and whose state is not Missing.
type PartialError struct {
	Missing []string // the sorted names of the peers that did not answer, in any state; can be empty
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
