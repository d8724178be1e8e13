package cluster_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
)

func TestBusEvents_MergeUnreadEvents(t *testing.T) {
	const up, down, lossy = cluster.Connected, cluster.Disconnected, cluster.Lossy
	for _, c := range []struct{ in, want []cluster.BusEvent }{
		{nil, nil},
		{[]cluster.BusEvent{up}, []cluster.BusEvent{up}},
		{[]cluster.BusEvent{up, up, up}, []cluster.BusEvent{up}},
		{[]cluster.BusEvent{up, down}, []cluster.BusEvent{down}},
		{[]cluster.BusEvent{up, down, up}, []cluster.BusEvent{down, up}},
		{[]cluster.BusEvent{down, up, down, up, down}, []cluster.BusEvent{down}},
		{[]cluster.BusEvent{down, lossy, up, lossy}, []cluster.BusEvent{lossy, down, up}},
	} {
		events := cluster.NewBusEvents()
		for _, e := range c.in {
			events.Send(e)
		}
		events.Close()
		events.Close()
		events.Send(up) // ignored
		var got []cluster.BusEvent
		for e := range events.C() {
			got = append(got, e)
		}
		require.Equal(t, c.want, got, "%v", c.in)
	}
}
