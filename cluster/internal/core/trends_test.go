package core

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster/internal/clusterpb"
)

func TestTrends_PiecesContainAllRooms(t *testing.T) {
	want := Trends{From: Incarnation{1}, To: Incarnation{2}, ID: 3, Rooms: map[string][3]float64{}}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 1000 {
		want.Rooms[fmt.Sprintf("%*d", 1+r.IntN(maxRoomName-3), i)] = [3]float64{float64(i) / 2, -float64(i), 1}
	}
	const limit = 4 << 10
	messages := want.Encode(limit)
	got := map[string][3]float64{}
	for i, b := range messages {
		require.LessOrEqual(t, len(b), limit)
		var m Trends
		require.True(t, m.Decode(b))
		require.Equal(t, []any{want.From, want.To, want.ID, uint64(len(messages)), uint64(i)}, []any{m.From, m.To, m.ID, m.Pieces, m.Piece})
		maps.Copy(got, m.Rooms)
	}
	require.Equal(t, want.Rooms, got)
	require.Less(t, len(messages), 200) // the pieces are full
}

func TestTrends_MatchesGeneratedCode(t *testing.T) {
	id := Incarnation{1, 2, 3}
	for _, rooms := range []map[string][3]float64{nil, {}, {"lobby": {1.5, -2, 3}}} {
		m := Trends{From: id, To: id, ID: 7, Rooms: rooms}
		want := &clusterpb.Trends{From: id[:], To: id[:], Id: 7}
		if rooms == nil {
			m.AgeMS, want.AgeMs = 9, 9
		} else {
			want.Pieces = 1
		}
		for room, numbers := range rooms {
			want.Rooms = append(want.Rooms, room)
			want.Numbers = append(want.Numbers, float32(numbers[0]), float32(numbers[1]), float32(numbers[2]))
		}
		encoded := m.Encode(1000)
		require.Len(t, encoded, 1)
		var got clusterpb.Trends
		require.NoError(t, proto.Unmarshal(encoded[0], &got))
		require.True(t, proto.Equal(want, &got))
		var decoded Trends
		require.True(t, decoded.Decode(encoded[0]))
		require.Equal(t, m.AgeMS, decoded.AgeMS)
		if len(rooms) > 0 {
			golden, err := os.ReadFile(filepath.Join("testdata", "v1", "trends.bin"))
			require.NoError(t, err)
			require.Equal(t, golden, encoded[0])
		}
	}
}

func TestTrends_InvalidMessages(t *testing.T) {
	id := make([]byte, 16)
	for name, m := range map[string]*clusterpb.Trends{
		"no sender":          {To: id},
		"no receiver":        {From: id},
		"short sender":       {From: id[1:], To: id},
		"piece out of range": {From: id, To: id, Pieces: 2, Piece: 2},
		"number missing":     {From: id, To: id, Pieces: 1, Rooms: []string{"a"}, Numbers: []float32{1, 1}},
		"empty name":         {From: id, To: id, Pieces: 1, Rooms: []string{""}, Numbers: []float32{1, 1, 1}},
		"newer version":      {From: id, To: id, LeastVersion: 2},
	} {
		b, err := proto.Marshal(m)
		require.NoError(t, err)
		require.False(t, new(Trends).Decode(b), name)
	}
	require.False(t, new(Trends).Decode([]byte{0xff}))
	b, err := proto.Marshal(&clusterpb.Trends{From: id, To: id})
	require.NoError(t, err)
	require.True(t, new(Trends).Decode(b))
}

func FuzzTrends(f *testing.F) {
	for _, b := range (&Trends{Rooms: map[string][3]float64{"a": {1, 2, 3}, "b": {3, 4, 5}}}).Encode(100) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		var m, again Trends
		if !m.Decode(payload) {
			return
		}
		for _, b := range m.Encode(1 << 20) {
			require.True(t, again.Decode(b))
			require.Len(t, again.Rooms, len(m.Rooms))
		}
	})
}

// The clients of a peer are announced if they were connected before this node knew the peer,
// and if the peer returns.
func TestMachine_AnnouncesCountsOfLinkedPeers(t *testing.T) {
	m := testMachine()
	var announced []string
	m.cfg.Expect = func(parts []occupancy.Part, away time.Duration) {
		for _, p := range parts {
			announced = append(announced, fmt.Sprint(p.Room, " ", p.Occupancy.Connections, " ", away))
		}
	}
	id := Incarnation{7}
	w := digestWriter{id: id, name: "peer", limit: 700}
	receive := func(s span, room string, connections uint64, now time.Duration) {
		w.add(room, roomCounts(connections<<32), 0, nil, nil)
		m.Receive(SyncReply, w.finish(s), now)
	}
	want := func(expected ...string) {
		t.Helper()
		require.Equal(t, expected, announced)
		announced = nil
	}
	heartbeat := func(number, seq uint64, now time.Duration) {
		h := heartbeat{from: id, name: []byte("peer"), beat: number, seq: seq, intervalMS: 1000}
		if p := m.members.byID[id]; p != nil && p.stream.applied == seq {
			h.hash = p.table.hash
		}
		m.Receive(Heartbeat, h.encode(), now)
	}
	heartbeat(100, 9, 0)
	receive(span{reset: true, seq: 5, snapshotEnd: 9}, "a", 10, 0)
	want("a 10 0s")
	receive(span{base: 5, seq: 9}, "b", 20, 0)
	want("b 20 0s")
	receive(span{base: 9, seq: 10}, "a", 15, 0)
	want()
	receive(span{reset: true, seq: 11, snapshotEnd: 12}, "a", 25, 0)
	receive(span{base: 11, seq: 12}, "b", 30, 0)
	want()

	for now := time.Duration(0); now < lease+3*beat; now += beat {
		m.Tick(now, 800)
		m.Take()
		heartbeat(0, 0, now) // ignored
	}
	require.Equal(t, Missing, m.members.peers[0].state)
	lost := m.members.peers[0].lostAt
	heartbeat(200, 12, lost+time.Minute)
	require.ElementsMatch(t, []string{"a 25 1m0s", "b 30 1m0s"}, announced)
	announced = nil
	receive(span{base: 12, seq: 13}, "a", 26, lost+time.Minute)
	want()

	id = Incarnation{8}
	w.id = id
	heartbeat(10, 9, lost+time.Minute) // a peer that has just started: its first digests were lost
	receive(span{reset: true, seq: 9, snapshotEnd: 9}, "a", 10, lost+time.Minute)
	want()

	id = Incarnation{9}
	w.id = id
	heartbeat(100, 0, lost+time.Minute) // a peer without clients: its first digest is lost later
	receive(span{reset: true, seq: 2, snapshotEnd: 2}, "a", 10, lost+time.Minute)
	want()
}
