package core

import (
	"maps"
	"reflect"
	"slices"
	"time"
)

// known reports whether another schedule had the same state at the same time. From there on,
// the schedules of both are the same, and the other schedule has explored all of them.
func (x *explorer) known() bool {
	if x.pos < len(x.path) || x.logf != nil {
		return false // in the part that is the same as in the previous schedule
	}
	x.pending = slices.DeleteFunc(x.pending, func(e pendingEvent) bool { return e.at < x.now })
	for _, n := range x.nodes {
		if n.held != nil {
			return false // n.inbox contains functions, which have no hash
		}
		// checkHealth does not distinguish earlier times.
		n.healthySince = max(n.healthySince, x.now-6*x.slowest-x.maxDelay)
	}
	// Neither does checkSyncRequest.
	maps.DeleteFunc(x.syncs, func(_ [2]Incarnation, at time.Duration) bool { return x.now-at >= beat })
	state := []any{x.now, x.faultsLeft, x.lossesLeft, x.restartsLeft, x.pending, x.crashed,
		x.maxDelay, x.started, x.changed, x.syncs}
	for _, n := range x.nodes {
		state = append(state, *n)
	}
	h := hashState(state)
	known := x.seen[h]
	x.seen[h] = true
	return known
}

// hashState returns a hash of v and of all values to which it refers.
func hashState(v any) uint64 { return hashValue(reflect.ValueOf(v)) }

// notState contains the types of values that are not part of the state, and of values that
// other values repeat.
var notState = map[reflect.Type]bool{
	reflect.TypeFor[*sim]():                  true,
	reflect.TypeFor[*node]():                 true,
	reflect.TypeFor[Config]():                true,
	reflect.TypeFor[*Config]():               true,
	reflect.TypeFor[Counters]():              true,
	reflect.TypeFor[[]Reason]():              true,
	reflect.TypeFor[batch]():                 true,
	reflect.TypeFor[*batch]():                true,
	reflect.TypeFor[map[Incarnation]*peer](): true, // repeats members.peers
	reflect.TypeFor[map[string]*record]():    true, // repeats ledger.changes
}

func hashValue(v reflect.Value) (h uint64) {
	if notState[v.Type()] {
		return 0
	}
	add := func(part uint64) { h = mix(h*31 + part + 1) }
	switch v.Kind() {
	case reflect.Bool:
		return uint64(toInt(v.Bool()))
	case reflect.Int, reflect.Int64:
		return mix(uint64(v.Int()))
	case reflect.Uint8, reflect.Uint32, reflect.Uint64:
		return mix(v.Uint())
	case reflect.String:
		return hashName(v.String())
	case reflect.Func:
		return 0
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return 0
		}
		return hashValue(v.Elem())
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if v.Type() == reflect.TypeFor[[]change]() && v.Index(i).Field(0).IsNil() {
				break // the rest of a chunk is empty
			}
			add(hashValue(v.Index(i)))
		}
	case reflect.Map:
		for entry := v.MapRange(); entry.Next(); { // in random order
			h += mix(hashValue(entry.Key())*31 + hashValue(entry.Value()))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			add(hashValue(v.Field(i)))
		}
	default:
		panic("no hash of " + v.Type().String())
	}
	return h
}
