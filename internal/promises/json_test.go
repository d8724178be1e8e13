package promises_test

import (
	"encoding/json"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

func TestJSON_Event(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		s := subscribe(t, e, "r")
		text := func() string {
			b, err := json.Marshal(receive(t, s))
			must(t, err)
			return string(b)
		}
		require.Equal(t, `{"type":"occupancy.updated","occupancy":{"connections":0,"presenceMembers":0}}`, text())
		must(t, remote(t, e, "node").Set(part("r", occ(103, 95))))
		require.Equal(t, `{"type":"occupancy.updated","occupancy":{"connections":103,"presenceMembers":95}}`, text())
	})
}

func TestJSON_EventWithUsers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t, occupancy.WithUsers())
		s := subscribe(t, e, "r")
		text := func() string {
			b, err := json.Marshal(receive(t, s))
			must(t, err)
			return string(b)
		}
		require.Equal(t, `{"type":"occupancy.updated","occupancy":{"connections":0,"presenceMembers":0}}`, text())
		connectAs(t, e, "r", "ann")
		require.Equal(t, `{"type":"occupancy.updated","occupancy":{"connections":1,"presenceMembers":1,"users":1}}`, text())
	})
}

func TestJSON_RoomEventBeginsWithItsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newEngine(t)
		w := watch(t, e)
		must(t, remote(t, e, "node").Set(part("lobby", occ(103, 95))))
		batch := poll(t, w)
		require.Len(t, batch, 1)
		text, err := json.Marshal(batch[0])
		must(t, err)
		require.Equal(t, `{"room":"lobby","type":"occupancy.updated","occupancy":{"connections":103,"presenceMembers":95}}`, string(text))

		var back occupancy.RoomEvent
		must(t, json.Unmarshal(text, &back))
		batch[0].Version = 0 // not part of the JSON
		require.Equal(t, batch[0], back)
	})
}
