package occupancy

import (
	"fmt"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

func TestLease_Is64BytesAtMost(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(Lease{}), uintptr(64))
}

// A client ID that is a slice of a large message must not keep the message in memory.
func TestLease_ClonesClientIDs(t *testing.T) {
	e := New()
	defer e.Close()
	l, err := e.Connect("room")
	require.NoError(t, err)
	var ids []string
	for i := range 3 * fewClients {
		message := strings.Repeat("x", 1000) + fmt.Sprint("client", i)
		ids = append(ids, message[1000:])
		require.NoError(t, l.Enter(ids[i]))
		kept := []string{l.first}
		if l.others != nil {
			kept = append(kept, l.others.few...)
			for id := range l.others.many {
				kept = append(kept, id)
			}
		}
		require.ElementsMatch(t, ids, kept)
		for _, id := range kept {
			for _, given := range ids {
				require.NotSame(t, unsafe.StringData(given), unsafe.StringData(id))
			}
		}
	}
	require.NoError(t, l.Close())
	require.Empty(t, l.first)
	require.Nil(t, l.others)
}

func TestLease_HasAnyNumberOfClients(t *testing.T) {
	for _, clients := range []int{1, 2, fewClients, fewClients + 1, fewClients + 2, 100} {
		for _, reverse := range []bool{false, true} {
			e := New()
			l, err := e.Connect("room")
			require.NoError(t, err)
			id := func(i int) string { return fmt.Sprint("client", i) }
			want := func(members int) {
				t.Helper()
				require.Equal(t, Occupancy{1, members}, e.Current("room"), "%d clients", clients)
			}
			for range 2 { // the second time after all have exited
				for i := range clients {
					require.NoError(t, l.Enter(id(i)))
					require.NoError(t, l.Enter(id(i)), "again")
					require.NoError(t, l.Enter(id(0)), "again")
					want(i + 1)
				}
				for i := range clients {
					k := i
					if reverse {
						k = clients - 1 - i
					}
					require.NoError(t, l.Exit(id(k)))
					require.ErrorIs(t, l.Exit(id(k)), ErrNotEntered)
					want(clients - 1 - i)
				}
			}
			for i := range clients {
				require.NoError(t, l.Enter(id(i)))
			}
			want(clients)
			require.NoError(t, l.Close())
			require.Equal(t, Occupancy{}, e.Current("room"))
			require.NoError(t, e.Close())
		}
	}
}
