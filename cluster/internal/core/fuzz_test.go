package core

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
)

// FuzzRoles passes arbitrary messages to a client and to an aggregator. They must not panic, and
// afterwards both still work.
func FuzzRoles(f *testing.F) {
	me, other := Incarnation{9, 15: 9}, Incarnation{8, 15: 8}
	add := func(messages ...Message) {
		var data []byte
		for _, m := range messages {
			data = append(data, byte(m.Kind))
			data = append(binary.BigEndian.AppendUint16(data, uint16(len(m.Payload))), m.Payload...)
		}
		f.Add(data)
	}
	all := ^shardSet(0)
	announce := func(flags uint64) Message {
		h := heartbeat{from: other, name: []byte("other"), flags: flags, beat: 1, intervalMS: 1000}
		return Message{Kind: Heartbeat, Payload: h.encode()}
	}
	beatTo := func(number, seq, hash, flags uint64) Message {
		h := heartbeat{from: other, name: []byte("other"), flags: flags, beat: number, intervalMS: 1000, to: me, seq: seq, hash: hash, collect: all, want: all, cover: all, nodes: 5, heard: 1 << 40}
		return Message{Kind: Heartbeat, Payload: h.encode()}
	}
	feed := func(base, seq uint64, rooms map[string]roomCounts) Message {
		w := digestWriter{id: other, name: "other", to: me, limit: 1 << 16}
		for room, counts := range rooms {
			w.add(room, counts, 5, []uint64{1, 2}, nil)
		}
		return Message{Kind: Digest, Payload: w.finish(span{base: base, seq: seq})}
	}
	for _, flags := range []uint64{flagClient, flagClient | flagEverything, flagAggregator, 0} {
		rooms := map[string]roomCounts{"a": 3<<32 | 2}
		add(announce(flags), beatTo(2, 1, hashRoom("a", rooms["a"], []uint64{1, 2}), flags), feed(0, 1, rooms), beatTo(3, 1, hashRoom("a", rooms["a"], []uint64{1, 2}), flags))
		add(announce(flags), beatTo(2, 0, 0, flags), feed(0, 1, map[string]roomCounts{"a": interestOnly}), feed(1, 2, map[string]roomCounts{"a": 0}), beatTo(3, 2, 0, flags))
		query, top := queryMessage{from: other, id: 1, rooms: [][]byte{{'a'}}}, queryMessage{from: other, id: 2, top: 300, shards: all}
		add(announce(flags), beatTo(2, 0, 0, flags), Message{Kind: Query, Payload: query.encode()}, Message{Kind: Query, Payload: top.encode()},
			Message{Kind: SyncRequest, Payload: (&syncRequest{from: other, to: me}).encode()}, Message{Kind: Bye, Payload: (&bye{other}).encode()})
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, role := range []Role{Client, Aggregator} {
			m := roleMachine(role, me)
			now := time.Duration(0)
			step := func() {
				m.Tick(now, 800)
				messages, _ := m.Take()
				for _, msg := range messages {
					m.Sent(msg, nil, now)
				}
			}
			for rest := data; len(rest) >= 3; now += beat / 4 {
				n := min(int(binary.BigEndian.Uint16(rest[1:])), len(rest)-3)
				m.Receive(Kind(rest[0]), rest[3:3+n], now)
				rest = rest[3+n:]
				step()
			}
			for range 8 {
				now += beat
				step()
			}
			m.Reasons(now)
			m.Peers(now)
			if role == Client {
				m.Shares("a", func(string, occupancy.Occupancy) {})
				m.Change([]Change{{RoomEvent: occupancy.RoomEvent{Room: "a", Event: occupancy.Event{Occupancy: occupancy.Occupancy{Connections: 1}}}}}, now)
				require.Equal(t, 1, m.Rooms())
			}
		}
	})
}

// roleMachine returns a connected machine with a role.
func roleMachine(role Role, id Incarnation) *Machine {
	cfg := testConfig()
	cfg.ID, cfg.Role, cfg.MaxPeers, cfg.Forget, cfg.ExpectedNodes, cfg.FlushSize, cfg.ReplySize = id, role, 5, forget, 1, 700, 800
	n := &node{tables: map[*mapTable]struct{}{}}
	cfg.NewTable = n.newTable
	cfg.NextFlush = func(now time.Duration) time.Duration { return now + beat/5 }
	cfg.Local = func(string) occupancy.Occupancy { return occupancy.Occupancy{} }
	m := New(*cfg)
	m.Start(0)
	m.SetConnected(true, 0)
	return m
}
