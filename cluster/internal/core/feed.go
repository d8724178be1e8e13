package core

// feed is the stream of changes that this node publishes: to all nodes, or to one peer. It
// numbers the changes in its ledger and publishes them in digests. If a digest is lost, the
// receiver requests the changes later.
type feed struct {
	*ledger
	writer digestWriter
	shards shardSet // of a feed to one peer: set is only called for rooms of these shards, or to remove a room
	send   func(payload []byte)
}

// newFeed returns a feed without rooms. If to is not zero, the feed is for this peer.
func (m *Machine) newFeed(to Incarnation, maxUsers int) *feed {
	return &feed{
		ledger: newLedger(m.cfg.TombstoneSlack, maxUsers, m.cfg.Yield),
		writer: digestWriter{id: m.cfg.ID, name: m.cfg.Name, to: to, limit: m.cfg.FlushSize},
		send: func(payload []byte) {
			m.send(Message{Kind: Digest, Shard: to.Shard(), Payload: payload})
		},
	}
}

// maxFeedUsers returns the number of users of a room that a feed to one peer publishes.
func (m *Machine) maxFeedUsers() int {
	if m.aggregator != nil {
		return min(maxClientUsers, m.cfg.MaxUsers)
	}
	return m.cfg.MaxUsers
}

// continueAfter begins the feed after the last seq of an earlier feed to the same peer. So the
// peer, which may have kept the counts of the earlier feed, requests a snapshot.
func (f *feed) continueAfter(seq uint64) {
	if seq > 0 {
		f.seq, f.removedUpTo = seq+1, seq+1
	}
}

// set publishes the counts and users of a room with the next flush, if they differ from the
// last published ones.
func (f *feed) set(room string, counts roomCounts, users userList) {
	before, had := f.get(room)
	now := publish(counts, users, f.maxUsers)
	added, removed := diffUsers(had.hashes, now.hashes)
	if before == counts && had.count == now.count && len(added)+len(removed) == 0 {
		f.setUsers(room, users)
		return
	}
	if counts.members() == 0 {
		added, removed = nil, nil // the peers remove all users
	}
	whole := len(added)+len(removed) > f.maxUsers // the change takes more space than all users
	if whole {
		f.flush(false)
		added, removed = now.hashes, nil
	}
	if !f.writer.add(room, counts, now.count, added, removed) {
		f.flush(false)
		f.writer.add(room, counts, now.count, added, removed)
	}
	f.put(room, counts, users)
	if whole {
		f.flush(true)
	}
}

// flush publishes the changes since the last flush, if there are any. If whole is true, the
// digest contains all users of its rooms.
func (f *feed) flush(whole bool) {
	if f.writer.n == 0 {
		return
	}
	sp := span{base: f.seq - uint64(f.writer.n), seq: f.seq}
	if whole {
		sp.until = sp.seq
	}
	payload := f.writer.finish(sp)
	f.endFlush()
	f.send(payload)
}
