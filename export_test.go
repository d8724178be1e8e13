package occupancy

// Cells is how many rooms the engine holds in memory, existing or not yet dropped.
func Cells(e *Engine) int { return e.rooms.cells.Size() }

// Cell is what the engine holds of a room: another one after it was dropped and began
// again.
func Cell(e *Engine, room string) any { return e.rooms.live(room) }

// Settled reports whether e has let go of every room: none cools, and none waits.
func Settled(e *Engine) bool {
	p := e.pub
	p.inbox.mu.Lock()
	waits := !p.inbox.cells.empty()
	p.inbox.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	return !waits && p.cooling.empty() && p.resting.empty()
}
