package core

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

var updateGolden = flag.Bool("golden.update", false, "write the golden messages; do not change those of a released version")

// The files in testdata/v1 are messages of version 1 of the protocol. Every later version
// must encode the same messages and decode them to the same values.
func TestGolden_MessagesOfVersion1(t *testing.T) {
	id, to := Incarnation{1, 2, 3, 15: 16}, Incarnation{15: 1}
	h := heartbeat{
		from: id, name: []byte("chat-1"), seq: 300, hash: 0x0123456789abcdef, flags: flagDegraded | flagBacklog, beat: 7,
		minVersion: 1, maxVersion: 1, intervalMS: 1000, rooms: 2, maxRooms: 1_000_000, userKey: 0xfedcba9876543210,
	}
	aggregator := heartbeat{
		from: id, name: []byte("chat-1 (aggregator)"), seq: 1, flags: flagAggregator, beat: 8, minVersion: 1, maxVersion: 1, intervalMS: 1000,
		to: to, collect: 1<<63 | 1, want: 2, cover: 4, nodes: 1000, missing: [][]byte{[]byte("chat-2"), []byte("chat-3")}, heard: 6,
	}
	w := digestWriter{id: id, name: "chat-1", to: to, limit: 1000}
	w.add("lobby", interestOnly, 0, nil, nil)
	feedBytes := w.finish(span{base: 1, seq: 2})
	w.to = Incarnation{}
	w.add("lobby", 3<<32|2, 0, []uint64{7, 1 << 63}, []uint64{5})
	w.add("empty", 0, 0, nil, nil)
	digestBytes := w.finish(span{base: 298, seq: 300})
	w.add("lobby", 9<<32|9, 9, []uint64{7, 8}, nil)
	snapshotBytes := w.finish(span{reset: true, seq: 5, snapshotEnd: 300, until: 301})
	request := syncRequest{from: id, to: to, since: 300}
	query := queryMessage{from: id, id: 9, rooms: [][]byte{[]byte("lobby"), []byte("other")}}
	ans := answer{from: id, to: to, id: 9, parts: []roomCounts{3<<32 | 2, 0}}
	top := queryMessage{from: id, id: 10, top: 100, shards: 1<<63 | 1}
	topAnswer := answer{from: id, to: to, id: 10, parts: []roomCounts{3<<32 | 2}, rooms: [][]byte{[]byte("lobby")}, users: column{2}}
	left := bye{from: id}
	for name, encoded := range map[string][]byte{
		"heartbeat":   h.encode(),
		"aggregator":  aggregator.encode(),
		"digest":      digestBytes,
		"feed":        feedBytes,
		"snapshot":    snapshotBytes,
		"syncrequest": request.encode(),
		"query":       query.encode(),
		"answer":      ans.encode(),
		"top":         top.encode(),
		"topanswer":   topAnswer.encode(),
		"bye":         left.encode(),
	} {
		file := filepath.Join("testdata", "v1", name+".bin")
		if *updateGolden {
			require.NoError(t, os.WriteFile(file, encoded, 0o600))
		}
		golden, err := os.ReadFile(file)
		require.NoError(t, err)
		require.Equal(t, golden, encoded, name)
		var decoded bool
		switch name {
		case "heartbeat":
			var m heartbeat
			decoded = m.decode(golden)
			require.Equal(t, h, m)
		case "aggregator":
			var m heartbeat
			decoded = m.decode(golden)
			require.Equal(t, aggregator, m)
		case "feed":
			var m digest
			decoded = m.decode(golden)
			require.Equal(t, to, m.to)
			m.forEach(func(room []byte, counts roomCounts, _ userUpdate) {
				require.Equal(t, "lobby", string(room))
				require.Equal(t, interestOnly, counts)
			})
		case "top":
			var m queryMessage
			decoded = m.decode(golden)
			require.Equal(t, top, m)
		case "topanswer":
			var m answer
			decoded = m.decode(golden)
			require.Equal(t, topAnswer, m)
		case "digest", "snapshot":
			var m digest
			decoded = m.decode(golden)
			rooms := map[string]roomCounts{}
			users := map[string][]uint64{}
			m.forEach(func(room []byte, counts roomCounts, u userUpdate) {
				rooms[string(room)], users[string(room)] = counts, u.apply([]uint64{3, 5}, MaxUsers)
				require.Equal(t, counts.members()/9*9, u.count)
			})
			if name == "digest" {
				require.Equal(t, span{base: 298, seq: 300}, m.span)
				require.Equal(t, map[string]roomCounts{"lobby": 3<<32 | 2, "empty": 0}, rooms)
				require.Equal(t, map[string][]uint64{"lobby": {3, 7, 1 << 63}, "empty": {3, 5}}, users)
			} else {
				require.Equal(t, span{reset: true, seq: 5, snapshotEnd: 300, until: 301}, m.span)
				require.Equal(t, map[string][]uint64{"lobby": {7, 8}}, users)
			}
		case "syncrequest":
			var m syncRequest
			decoded = m.decode(golden)
			require.Equal(t, request, m)
		case "query":
			var m queryMessage
			decoded = m.decode(golden)
			require.Equal(t, query, m)
		case "answer":
			var m answer
			decoded = m.decode(golden)
			require.Equal(t, ans, m)
		case "bye":
			var m bye
			decoded = m.decode(golden)
			require.Equal(t, left, m)
		}
		require.True(t, decoded, name)
	}
}
