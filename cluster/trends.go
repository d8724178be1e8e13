package cluster

import (
	"maps"
	"time"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster/internal/core"
)

// Trends is a ranking of the rooms of an engine that counts arrivals: the Board of package
// trending, whose documentation describes the methods.
type Trends interface {
	Engine() *occupancy.Engine
	History() (rooms map[string][3]float64, complete bool)
	Import(rooms map[string][3]float64, complete bool)
	Expect(parts []occupancy.Part, away time.Duration)
}

// WithTrending makes all nodes show the same trending rooms. The board must be one of
// this node's engine, otherwise Start returns an error, and must have the same options on every
// node. Close the node before the board.
//
// The counts of an engine contain those of all nodes, so each board counts the arrivals of the
// whole service. When the node begins to count the clients of a running peer, or counts the clients
// of a lost peer again, it informs the board that these are not arrivals. When a node starts, it
// copies the history of another board.
//
// With [WithSharding], a board ranks the rooms in which its node is interested, or all rooms
// [WithEverything], and no history is copied.
//
// The boards of two nodes differ by the changes of the last two flushes, and after a
// partition also by the changes during the partition, until these changes have lost their
// weight.
func WithTrending(t Trends) Option { return func(c *config) { c.trends = t } }

// trendsTimeout is the time after the start in which a node requests the history. It is longer
// than the default warm-up of a board, so that all boards begin at the same time if the whole
// service has started.
const trendsTimeout = 90 * time.Second

// expect informs the board of counts that are not arrivals. If a running peer was added
// after the history was copied, shareTrends copies the history again, because the other
// board had counted the clients of this peer.
func (n *Node) expect(parts []occupancy.Part, away time.Duration) {
	n.trends.Expect(parts, away)
	if away == 0 {
		select {
		case n.linked <- struct{}{}:
		default: // linked already contains a value
		}
	}
}

// sharesTrends reports whether the node copies the history of another board.
func (n *Node) sharesTrends() bool { return n.trends != nil && n.Role == core.Mesh }

// shareTrends requests the history from one peer after another, until one of them has sent
// all pieces. It also answers such requests of the peers.
func (n *Node) shareTrends() {
	request := core.Trends{From: n.ID}
	received, history := map[uint64]bool{}, map[string][3]float64{} // the pieces, and their content
	copied := false
	timer := time.NewTimer(0)
	for {
		select {
		case <-n.ctx.Done():
			return
		case msg := <-n.history:
			var m core.Trends
			valid := m.Decode(msg.Payload)
			n.mu.Lock()
			n.core.Received(msg.Payload, valid)
			n.mu.Unlock()
			switch {
			case !valid || m.To != n.ID:
			case m.Pieces == 0:
				n.sendHistory(m)
			case !copied && m.From == request.To && m.ID == request.ID:
				timer.Reset(n.Heartbeat)
				received[m.Piece] = true
				maps.Copy(history, m.Rooms)
				if copied = uint64(len(received)) == m.Pieces; copied {
					n.trends.Import(history, true)
					clear(history)
				}
			}
		case <-n.linked:
			copied = false
			timer.Reset(0)
		case <-timer.C:
			if copied || n.now() > trendsTimeout {
				continue
			}
			if request.ID++; n.nextPeer(&request) {
				clear(received)
				clear(history)
				request.AgeMS = n.ageMS()
				n.publishTrends(request)
				timer.Reset(n.Heartbeat)
			} else {
				timer.Reset(n.Heartbeat / 8)
			}
		}
	}
}

// nextPeer sets the receiver of the request to the next live peer. It returns false if there
// is none, or if the counts of a peer have not arrived yet: both boards must count the same
// peers.
func (n *Node) nextPeer(request *core.Trends) (ok bool) {
	n.mu.Lock()
	peers := n.core.Peers(n.now())
	n.mu.Unlock()
	if !n.isReady() {
		return false
	}
	for i := range peers {
		p := peers[(int(request.ID)+i)%len(peers)]
		if p.State == core.Live && p.Behind {
			return false
		}
		if p.State == core.Live && !ok {
			request.To, ok = p.ID, true
		}
	}
	return ok
}

// sendHistory answers a request if this node has run longer than the other node and its
// history is complete. So two nodes never copy the histories of each other.
func (n *Node) sendHistory(request core.Trends) {
	if n.ageMS() <= request.AgeMS {
		return
	}
	if rooms, complete := n.trends.History(); complete {
		n.publishTrends(core.Trends{From: n.ID, To: request.From, ID: request.ID, Rooms: rooms})
	}
}

func (n *Node) ageMS() uint64 { return uint64(n.now().Milliseconds()) }

// publishTrends publishes a message in pieces. If one is lost, the receiver repeats its
// request.
func (n *Node) publishTrends(m core.Trends) {
	for _, payload := range m.Encode(min(n.bus.MaxPayload(), maxReply)) {
		err := n.bus.Publish(n.ctx, Subject{KindTrends, m.To.Shard()}, payload)
		n.mu.Lock()
		n.core.Sent(core.Message{Kind: core.Kind(KindTrends), Payload: payload}, err, n.now())
		n.mu.Unlock()
		if err != nil {
			return
		}
	}
}
