package fuzz

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
)

// FuzzEngine runs a program of calls in virtual time. After each step it compares what the
// call returned, and the events of every listener, with a model.
func FuzzEngine(f *testing.F) {
	// Short programs that use each operation.
	for _, config := range []byte{0, 1, 2, 5, 6, 11, withUsers, withUsers + 1, withUsers + 4} {
		f.Add([]byte{config, opJoin, 0, opJoin, 0, opLeave, 0, opLeave, 0, opLeave, 0, opQuiet})
		f.Add([]byte{config, opSubscribe, 0, 0, opJoin, 0, opJoin, 0, opAdvance, 3, opLeave, 0, opQuiet, opUnsubscribe, 0})
		f.Add([]byte{config, opSubscribe, 1, 0, opEnter, 0, opExit, 0, opRead, 1, opQuiet, opRead, 1, opUnsubscribe, 1})
		f.Add([]byte{config, opConnect, 0, 0, opLeaseEnter, 0, 0, opLeaseEnter, 0, 1, opLeave, 0, opExit, 0, opLeaseClose, 0, opLeaseClose, 0})
		f.Add([]byte{config, opConnect, 0, 0, opLeave, 0, opQuiet, opJoin, 0, opLeaseClose, 0, opQuiet})
		f.Add([]byte{config, opWatch, 0, opWatch, 3, opJoin, 1, opRemoteSet, 0, 1, 2, opNext, 0, opNext, 1, opQuiet, opRemoteClose, 0, opNext, 0, opQuiet})
		f.Add([]byte{config, opRemoteSet, 0, 0, 4, opRemoteSet, 1, 0, 3, opJoin, 0, opLeave, 0, opRemoteSet, 0, 0, 0, opQuiet})
		// A room ends, and begins again, before a watcher reads.
		f.Add([]byte{config, opWatch, 0, opWatch, 1, opJoin, 0, opLeave, 0, opAdvance, 6, opJoin, 0, opAdvance, 6, opNext, 0, opNext, 1, opQuiet})
		// A subscriber comes during the interval of another.
		f.Add([]byte{config, opSubscribe, 0, 0, opQuiet, opJoin, 0, opSubscribe, 1, 0, opJoin, 0, opAdvance, 1, opSubscribe, 2, 0, opLeave, 0, opQuiet})
		f.Add([]byte{config, opSubscribe, 0, 0, opSubscribe, 1, 1, opJoin, 0, opJoin, 0, opEnter, 1, opClose, 0, opJoin, 0, opLeaseClose, 0, opNext, 0, opRead, 1})
		// Rooms that are only subscribed to, up to the limit and beyond.
		f.Add([]byte{config, opSubscribe, 0, 0, opSubscribe, 1, 1, opSubscribe, 2, 2, opJoin, 0, opJoin, 6, opSubscribe, 3, 3, opLeave, 0, opSubscribe, 3, 3, opQuiet})
		// Two tabs of one client, of which one lingers, returns, lingers again and ends.
		f.Add([]byte{config, opConnectAs, 0, 0, 0, 0, opConnectAs, 1, 0, 0, 0, opSubscribe, 0, 0, opLinger, 0, 4, opConnectAs, 2, 0, 2, 0, opLinger, 2, 2, opAdvance, 5, opLeaseClose, 1, opQuiet})
		// In a full room, only the client that lingers gets the place.
		f.Add([]byte{config, opConnectAs, 0, 0, 0, 2, opLinger, 0, 4, opConnectAs, 1, 0, 1, 2, opConnectAs, 1, 0, 0, 2, opConnectAs, 2, 1, 4, 1, opLeaseClose, 0, opQuiet})
		// Hooks by name end a room in which a lease lingers.
		f.Add([]byte{config, opConnectAs, 0, 0, 0, 0, opLinger, 0, 4, opLeave, 0, opExit, 0, opConnectAs, 1, 0, 0, 0, opQuiet, opLinger, 1, 0, opAdvance, 6})
		// A new link ends the remotes and the local watchers of the old one.
		f.Add([]byte{config, opWatch, 1, opRemoteSet, 0, 0, 1, opRemoteSet, 1, 1, 2, opLink, 1, opRemoteSet, 0, 0, 1, opNext, 0, opLink, 0, opQuiet})
	}
	r := rand.NewChaCha8([32]byte{1})
	for range 200 {
		program := make([]byte, 400)
		_, _ = r.Read(program)
		f.Add(program)
	}
	f.Fuzz(func(t *testing.T, program []byte) {
		synctest.Test(t, func(t *testing.T) { run(t, program) })
	})
}
