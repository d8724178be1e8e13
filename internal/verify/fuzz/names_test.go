package fuzz

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/occupancy/occupancy"
)

// FuzzNames passes strings to every call that takes one.
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
			if !errors.Is(err, want) || err != nil && want == nil {
				t.Errorf("%s %q: error %v, want %v", what, room, err, want)
			}
		}
		want, none := error(nil), occupancy.Occupancy{}
		if !valid(room) {
			want = occupancy.ErrInvalidRoom
		}
		is("ValidRoom", occupancy.ValidRoom(room), want)

		u := occupancy.New(occupancy.WithUsers())
		defer u.Close()
		asClient := want
		if !valid(client) {
			asClient = occupancy.ErrInvalidClientID
		}
		is("Enter with users", u.Enter(room, client), asClient)
		_, err := u.Connect(room, occupancy.As(client))
		is("Connect as", err, asClient)
		is("Session.Enter", u.Session(client).Enter(room), asClient)
		counts := occupancy.Occupancy{Connections: 2, PresenceMembers: 3, Users: 1}
		if asClient != nil {
			counts = none
		}
		if u.Current(room) != counts {
			t.Errorf("%q: %v, want %v", room, u.Current(room), counts)
		}

		h := e.Room(room)
		if h.Name() != room {
			t.Errorf("the name of the handle of %q is %q", room, h.Name())
		}
		for _, v := range []hooks{byName(e, room), byHandle(h)} {
			is("Join", v.join(), want)
			is("Enter", v.enter(), want)
			if want == nil && (e.Current(room) != occupancy.Occupancy{Connections: 1, PresenceMembers: 1} || h.Current() != e.Local(room)) {
				t.Errorf("%q: %v after Join and Enter", room, e.Current(room))
			}
			is("Leave", v.leave(), want)
			is("Exit", v.exit(), want)
			if want == nil {
				is("Leave", v.leave(), occupancy.ErrNotJoined)
				is("Exit", v.exit(), occupancy.ErrNotEntered)
			}
		}
		link, err := e.Link(nil)
		is("Link", err, nil)
		remote := link.Remote(client)
		is("Set", remote.Set(occupancy.Part{Room: room, Occupancy: occupancy.Occupancy{Connections: 2}}), want)
		is("Set", remote.Set(occupancy.Part{Room: room}), want)
		_, err = e.Get(t.Context(), room)
		is("Get", err, want)
		sub, err := e.Subscribe(room)
		is("Subscribe", err, want)
		lease, err := e.Connect(room)
		is("Connect", err, want)
		if want != nil {
			if lease != nil || sub != nil || e.Current(room) != none || h.Current() != none || e.Stats().Rooms > 0 || e.Stats().Total != none || len(maps.Collect(e.All())) > 0 {
				t.Errorf("%q: refused, but %v, %+v", room, e.Current(room), e.Stats())
			}
			return
		}

		in := occupancy.Occupancy{Connections: 1}
		if lease.Room() != room || sub.Room() != room {
			t.Errorf("%q: the lease is of %q, the subscription of %q", room, lease.Room(), sub.Room())
		}
		if valid(client) {
			is("ValidClientID", occupancy.ValidClientID(client), nil)
			is("Enter", lease.Enter(client), nil)
			is("Enter", lease.Enter(client), nil)
			in.PresenceMembers = 1
		} else {
			is("ValidClientID", occupancy.ValidClientID(client), occupancy.ErrInvalidClientID)
			is("Enter", lease.Enter(client), occupancy.ErrInvalidClientID)
			is("Exit", lease.Exit(client), occupancy.ErrNotEntered)
		}
		if got := maps.Collect(e.All()); len(got) != 1 || got[room] != in || e.Current(room) != in {
			t.Errorf("%q: Current is %v, All has %v, want %v", room, e.Current(room), got, in)
		}
		ev := <-sub.Events()
		for ev.Occupancy != in { // the snapshot, and an event after Connect
			ev = <-sub.Events()
		}
		text := fmt.Sprintf(`{"type":"occupancy.updated","occupancy":{"connections":1,"presenceMembers":%d}}`, in.PresenceMembers)
		if got, err := json.Marshal(ev); err != nil || string(got) != text {
			t.Errorf("%q: JSON %s, %v, want %s", room, got, err, text)
		}
		for _, prefix := range []string{room, room[:len(room)/2], client} {
			if !strings.HasPrefix(room, prefix) {
				continue
			}
			w, err := e.Watch(occupancy.WithPrefix(prefix))
			is("Watch", err, nil)
			batch, err := w.Next(t.Context())
			if err != nil || len(batch) != 1 || batch[0].Room != room {
				t.Errorf("%q: a watcher with prefix %q returned %v, %v", room, prefix, batch, err)
			}
			is("Close", w.Close(), nil)
			if err == nil && len(batch) == 1 {
				want, _ := json.Marshal(room)
				if got, err := json.Marshal(batch[0]); err != nil || !strings.HasPrefix(string(got), `{"room":`+string(want)+`,"type":`) {
					t.Errorf("%q: JSON %s, %v", room, got, err)
				}
			}
		}
		is("Close", lease.Close(), nil)
		sub.Unsubscribe()
		if got := e.Stats().Rooms; got != 0 || e.Current(room) != none {
			t.Errorf("%q: %d rooms, %v after everything was removed", room, got, e.Current(room))
		}
	})
}
