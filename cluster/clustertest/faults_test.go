package clustertest_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
)

var subject = cluster.Subject{Kind: cluster.KindDigest}

// arrival is a received message.
type arrival struct {
	n  int           // the number of the message, or -1 if its payload was changed
	at time.Duration // the time of the delivery
}

// send publishes 1000 numbered messages, one in each millisecond, and returns the received
// messages.
func send(t *testing.T, seed uint64, f clustertest.Faults) (all []arrival) {
	synctest.Test(t, func(t *testing.T) {
		net := clustertest.NewNetwork(seed)
		net.SetFaults(f)
		a, b := net.Bus("a"), net.Bus("b")
		defer a.Close(t.Context())
		defer b.Close(t.Context())
		out := make(chan cluster.Message, 3000)
		_, err := b.Subscribe(t.Context(), []cluster.Subject{subject}, out)
		require.NoError(t, err)
		begin := time.Now()
		take := func() {
			synctest.Wait()
			for len(out) > 0 {
				m := <-out
				n := -1
				if i := binary.BigEndian.Uint32(m.Payload); bytes.Equal(m.Payload, numbered(int(i))) && i < 1000 {
					n = int(i)
				}
				all = append(all, arrival{n, time.Since(begin)})
			}
		}
		for i := range 1000 {
			require.NoError(t, a.Publish(t.Context(), subject, numbered(i)))
			take()
			time.Sleep(time.Millisecond)
		}
		for range 500 {
			take()
			time.Sleep(time.Millisecond)
		}
	})
	return all
}

func numbered(n int) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(n)), bytes.Repeat([]byte{byte(n)}, 12)...)
}

func TestNetwork_InjectsFaults(t *testing.T) {
	sorted := func(all []arrival) bool {
		return slices.IsSortedFunc(all, func(a, b arrival) int { return a.n - b.n })
	}
	t.Run("none", func(t *testing.T) {
		for i, a := range send(t, 1, clustertest.Faults{}) {
			require.Equal(t, arrival{i, time.Duration(i) * time.Millisecond}, a)
		}
	})
	t.Run("delay, in order", func(t *testing.T) {
		all := send(t, 1, clustertest.Faults{MinDelay: 5 * time.Millisecond, MaxDelay: 50 * time.Millisecond})
		require.Len(t, all, 1000)
		require.True(t, sorted(all))
		for _, a := range all {
			late := a.at - time.Duration(a.n)*time.Millisecond
			require.True(t, late >= 5*time.Millisecond && late <= 50*time.Millisecond, "%v", late)
		}
	})
	t.Run("loss", func(t *testing.T) {
		all := send(t, 1, clustertest.Faults{Loss: 0.2})
		require.InDelta(t, 800, len(all), 50)
		require.True(t, sorted(all))
	})
	t.Run("duplicates", func(t *testing.T) {
		require.InDelta(t, 1100, len(send(t, 1, clustertest.Faults{Duplicate: 0.1})), 40)
	})
	t.Run("reordering", func(t *testing.T) {
		all := send(t, 1, clustertest.Faults{Reorder: 0.3, MaxDelay: 20 * time.Millisecond})
		require.Len(t, all, 1000)
		overtaken, newest := 0, -1
		for _, a := range all {
			if a.n < newest {
				overtaken++
			}
			newest = max(newest, a.n)
		}
		require.InDelta(t, 300, overtaken, 60)
	})
	t.Run("garbling", func(t *testing.T) {
		all := send(t, 1, clustertest.Faults{Garble: 0.1})
		require.Len(t, all, 1000)
		garbled := 0
		for _, a := range all {
			if a.n < 0 {
				garbled++
			}
		}
		require.InDelta(t, 100, garbled, 40)
	})
	t.Run("the same seed gives the same faults", func(t *testing.T) {
		f := clustertest.Faults{Loss: 0.2, Duplicate: 0.1, Reorder: 0.3, Garble: 0.1, MinDelay: time.Millisecond, MaxDelay: 90 * time.Millisecond}
		require.Equal(t, send(t, 7, f), send(t, 7, f))
		require.NotEqual(t, send(t, 7, f), send(t, 8, f))
	})
	t.Run("invalid arguments panic", func(t *testing.T) {
		for _, f := range []clustertest.Faults{{Loss: -0.1}, {Garble: 1.1}, {MinDelay: -1}, {MinDelay: 2, MaxDelay: 1}} {
			require.Panics(t, func() { clustertest.NewNetwork(1).SetFaults(f) })
		}
		net := clustertest.NewNetwork(1)
		net.Bus("a")
		require.Panics(t, func() { net.Bus("a") })
	})
}

func TestNetwork_PartitionAndOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		buses, outs := map[string]*clustertest.Bus{}, map[string]chan cluster.Message{}
		for _, name := range []string{"a", "b", "c", "d"} {
			buses[name], outs[name] = net.Bus(name), make(chan cluster.Message, 10)
			defer buses[name].Close(t.Context())
			_, err := buses[name].Subscribe(t.Context(), []cluster.Subject{subject}, outs[name])
			require.NoError(t, err)
		}
		// receivers returns the names of the buses that receive a message of bus a.
		receivers := func() (names string) {
			require.NoError(t, buses["a"].Publish(t.Context(), subject, nil))
			time.Sleep(time.Second)
			for _, name := range []string{"a", "b", "c", "d"} {
				if len(outs[name]) > 0 {
					<-outs[name]
					names += name
				}
			}
			return names
		}
		require.Equal(t, "abcd", receivers())
		net.Partition([]string{"a", "b"}, []string{"c"})
		require.Equal(t, "ab", receivers())
		net.Partition([]string{"c"})
		require.Equal(t, "abd", receivers())
		net.Partition()
		buses["b"].Disconnect()
		require.Equal(t, "acd", receivers())
		require.ErrorIs(t, buses["b"].Publish(t.Context(), subject, nil), clustertest.ErrDisconnected)
		buses["b"].Reconnect()
		buses["c"].Overflow(1)
		require.Equal(t, "abd", receivers())
		require.Equal(t, "abcd", receivers())
		require.Equal(t, []cluster.BusEvent{cluster.Disconnected, cluster.Connected}, unread(buses["b"]))
		require.Equal(t, []cluster.BusEvent{cluster.Lossy, cluster.Connected}, unread(buses["c"]))

		// A partition also stops delayed messages, and Close does not.
		net.SetFaults(clustertest.Faults{MinDelay: time.Second, MaxDelay: time.Second})
		require.NoError(t, buses["a"].Publish(t.Context(), subject, nil))
		time.Sleep(500 * time.Millisecond)
		net.Partition([]string{"b"})
		require.NoError(t, buses["a"].Close(t.Context()))
		time.Sleep(time.Second)
		require.Empty(t, outs["b"])
		require.Len(t, outs["c"], 1)
	})
}

func unread(b *clustertest.Bus) (all []cluster.BusEvent) {
	for len(b.Events()) > 0 {
		all = append(all, <-b.Events())
	}
	return all
}

func TestBus_Stall_BlocksPublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := clustertest.NewNetwork(1)
		a := net.Bus("a")
		defer a.Close(t.Context())
		resume := a.Stall()
		begin := time.Now()
		time.AfterFunc(time.Minute, resume)
		require.NoError(t, a.Publish(t.Context(), subject, nil))
		require.Equal(t, time.Minute, time.Since(begin))
		resume()
		require.NoError(t, a.Publish(t.Context(), subject, nil))
		defer a.Stall()()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.Error(t, a.Publish(ctx, subject, nil))
	})
}
