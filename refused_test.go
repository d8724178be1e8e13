package occupancy

import (
	"errors"
	"testing"
)

func TestAFullCountIsCountedAsRefused(t *testing.T) {
	e := New()
	defer e.Close()
	for name, hook := range map[string]func(string) error{"connections": e.Join, "members": e.Enter} {
		if err := hook(name); err != nil {
			t.Fatal(err)
		}
	}
	e.rooms.live("connections").word.Add(connections - connection)
	e.rooms.live("members").word.Add(members - member)
	for i, err := range []error{e.Join("connections"), e.Enter("members")} {
		if !errors.Is(err, ErrCount) {
			t.Fatalf("%d: %v", i, err)
		}
	}
	if got := e.Stats().Refused; got != (Refused{Count: 2}) {
		t.Fatalf("%+v", got)
	}
}
