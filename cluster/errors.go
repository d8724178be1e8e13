package cluster

import (
	"fmt"
	"strings"

	"github.com/occupancy/occupancy"
)

// errClosed is the error of a Get during which the node was closed.
var errClosed = fmt.Errorf("cluster: node is closed: %w", occupancy.ErrClosed)

// PartialError is what [occupancy.Engine.Get] returns where not every peer answered in
// time, or where there may be peers that this node has not heard of yet: just after its
// start, without a connection, and beyond WithMaxPeers. With it comes a sum all the same: of
// this node's part, of the answers, and, for each peer that is Missing, of what was last
// heard of it, which may be nothing.
type PartialError struct {
	Missing []string // the names of the peers that did not answer, sorted; may be empty
	Err     error    // why no more of them could: a deadline, or that the question could not be sent
}

func (e *PartialError) Error() string {
	if len(e.Missing) == 0 {
		return fmt.Sprintf("cluster: %v", e.Err)
	}
	return fmt.Sprintf("cluster: no answer from %s: %v", strings.Join(e.Missing, ", "), e.Err)
}

// Unwrap is Err.
func (e *PartialError) Unwrap() error { return e.Err }
