package occupancy_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"unicode/utf8"

	"github.com/occupancy/occupancy"
)

// FuzzEngine runs a program of calls, in virtual time, against a plain model that
// says after each step what every call must return and every listener have heard.
func FuzzEngine(f *testing.F) {
	// The simplest stories, so that the fuzzer knows the words.
	for _, config := range []byte{0, 1, 2, 5, 6, 11} {
		f.Add([]byte{config, opJoin, 0, opJoin, 0, opLeave, 0, opLeave, 0, opLeave, 0, opQuiet})
		f.Add([]byte{config, opSubscribe, 0, 0, opJoin, 0, opJoin, 0, opAdvance, 3, opLeave, 0, opQuiet, opUnsubscribe, 0})
		f.Add([]byte{config, opSubscribe, 1, 0, opEnter, 0, opExit, 0, opRead, 1, opQuiet, opRead, 1, opUnsubscribe, 1})
		f.Add([]byte{config, opConnect, 0, 0, opLeaseEnter, 0, 0, opLeaseEnter, 0, 1, opLeave, 0, opExit, 0, opLeaseClose, 0, opLeaseClose, 0})
		f.Add([]byte{config, opConnect, 0, 0, opLeave, 0, opQuiet, opJoin, 0, opLeaseClose, 0, opQuiet})
		f.Add([]byte{config, opWatch, 0, opWatch, 3, opJoin, 1, opRemoteSet, 0, 1, 2, opNext, 0, opNext, 1, opQuiet, opRemoteClose, 0, opNext, 0, opQuiet})
		f.Add([]byte{config, opRemoteSet, 0, 0, 4, opRemoteSet, 1, 0, 3, opJoin, 0, opLeave, 0, opRemoteSet, 0, 0, 0, opQuiet})
		// A room ends, and begins again, before a watcher reads.
		f.Add([]byte{config, opWatch, 0, opWatch, 1, opJoin, 0, opLeave, 0, opAdvance, 6, opJoin, 0, opAdvance, 6, opNext, 0, opNext, 1, opQuiet})
		// Somebody subscribes while the others wait for the end of the interval.
		f.Add([]byte{config, opSubscribe, 0, 0, opQuiet, opJoin, 0, opSubscribe, 1, 0, opJoin, 0, opAdvance, 1, opSubscribe, 2, 0, opLeave, 0, opQuiet})
		f.Add([]byte{config, opSubscribe, 0, 0, opSubscribe, 1, 1, opJoin, 0, opJoin, 0, opEnter, 1, opClose, 0, opJoin, 0, opLeaseClose, 0, opNext, 0, opRead, 1})
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

// FuzzNames gives every string to every call that takes one.
func FuzzNames(f *testing.F) {
	for _, s := range []string{
		"", "lobby", "a/b/c", " ", "\x00", "\xff", "é", "日本語", "e\u0301", "\ufffd", "\xed\xa0\x80", "\xc0\x80",
		`"},{"`, "<script>", "\u2028", strings.Repeat("x", 1024), strings.Repeat("x", 1025), strings.Repeat("é", 512), strings.Repeat("é", 513),
	} {
		f.Add(s, s)
		f.Add("lobby", s)
	}
	valid := func(s string) bool { return s != "" && len(s) <= 1024 && utf8.ValidString(s) }
	f.Fuzz(func(t *testing.T, room, client string) {
		e := occupancy.New()
		defer e.Close()
		is := func(what string, err, want error) {
			t.Helper()
			if err != want {
				t.Errorf("%s %q: %v, not %v", what, room, err, want)
			}
		}
		want, none := error(nil), occupancy.Occupancy{}
		if !valid(room) {
			want = occupancy.ErrRoomName
		}

		h := e.Room(room)
		if h.Name() != room {
			t.Errorf("the handle of %q is of %q", room, h.Name())
		}
		for _, v := range []actions{named{e, room}, h} {
			is("Join", v.Join(), want)
			is("Enter", v.Enter(), want)
			if want == nil && (e.Current(room) != occupancy.Occupancy{Connections: 1, PresenceMembers: 1} || h.Current() != e.Local(room)) {
				t.Errorf("%q: %v after Join and Enter", room, e.Current(room))
			}
			is("Leave", v.Leave(), want)
			is("Exit", v.Exit(), want)
			if want == nil {
				is("Leave", v.Leave(), occupancy.ErrNotJoined)
				is("Exit", v.Exit(), occupancy.ErrNotEntered)
			}
		}
		remote := e.Remote(client)
		is("Set", remote.Set(room, occupancy.Occupancy{Connections: 2}), want)
		is("Set", remote.Set(room, none), want)
		_, err := e.Get(t.Context(), room)
		is("Get", err, want)
		sub, err := e.Subscribe(room)
		is("Subscribe", err, want)
		conn, err := e.Connect(room)
		is("Connect", err, want)
		if want != nil {
			if conn != nil || sub != nil || e.Current(room) != none || h.Current() != none || holds(e) != (occupancy.Stats{}) || occupancy.Cells(e) > 0 {
				t.Errorf("%q: refused, and yet %v, %+v", room, e.Current(room), e.Stats())
			}
			return
		}

		in := occupancy.Occupancy{Connections: 1}
		if valid(client) {
			is("Enter", conn.Enter(client), nil)
			is("Enter", conn.Enter(client), nil)
			in.PresenceMembers = 1
		} else {
			is("Enter", conn.Enter(client), occupancy.ErrClientID)
			is("Exit", conn.Exit(client), occupancy.ErrNotEntered)
		}
		if got := maps.Collect(e.All()); len(got) != 1 || got[room] != in || e.Current(room) != in {
			t.Errorf("%q: %v, All has %v, not %v", room, e.Current(room), got, in)
		}
		ev := <-sub.Events()
		for ev.Occupancy != in { // the snapshot, and one after Connect
			ev = <-sub.Events()
		}
		text := fmt.Sprintf(`{"type":"occupancy.updated","occupancy":{"connections":1,"presenceMembers":%d}}`, in.PresenceMembers)
		if got, err := json.Marshal(ev); err != nil || string(got) != text || ev.Room != room {
			t.Errorf("%q: %s, %v, not %s", room, got, err, text)
		}
		for _, prefix := range []string{room, room[:len(room)/2], client} {
			if !strings.HasPrefix(room, prefix) {
				continue
			}
			w := e.Watch(occupancy.WithPrefix(prefix))
			batch, err := w.Next(t.Context())
			if err != nil || len(batch) != 1 || batch[0].Room != room {
				t.Errorf("%q: watched with prefix %q: %v, %v", room, prefix, batch, err)
			}
			w.Close()
		}
		is("Close", conn.Close(), nil)
		sub.Unsubscribe()
		if got := e.Stats().Rooms; got != 0 || e.Current(room) != none {
			t.Errorf("%q: %d rooms, %v after all have left", room, got, e.Current(room))
		}
	})
}
