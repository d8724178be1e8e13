package fuzz

import "github.com/occupancy/occupancy"

// hookClient is the client of hooks by name. It may enter through a lease, too.
const hookClient = "x"

// hooks are the four hooks of one room, called by name or by handle.
type hooks struct{ join, leave, enter, exit func() error }

func byName(e *occupancy.Engine, room string) hooks {
	return hooks{
		join:  func() error { return e.Join(room) },
		leave: func() error { return e.Leave(room) },
		enter: func() error { return e.Enter(room, hookClient) },
		exit:  func() error { return e.Exit(room, hookClient) },
	}
}

func byHandle(r *occupancy.Room) hooks {
	return hooks{
		join:  r.Join,
		leave: r.Leave,
		enter: func() error { return r.Enter(hookClient) },
		exit:  func() error { return r.Exit(hookClient) },
	}
}

func add(a, b occupancy.Occupancy) occupancy.Occupancy {
	return occupancy.Occupancy{
		Connections:     a.Connections + b.Connections,
		PresenceMembers: a.PresenceMembers + b.PresenceMembers,
		Users:           a.Users + b.Users,
	}
}

// over is one more than the maximum of a count. Where an int has 32 bits it is negative,
// which is refused as well.
var over = func() int { n := 1<<31 - 1; n++; return n }()
