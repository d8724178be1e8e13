package cluster_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/clustertest"
	"github.com/occupancy/occupancy/cluster/internal/clusterpb"
)

// The times that nodes have by default.
const (
	beat  = time.Second
	lease = 5 * beat
	hold  = 15 * time.Second
)

// sim is a simulation: nodes, what befalls them, and what their rooms really are.
//
// That it repeats exactly is by the times: the network delivers on whole milliseconds,
// the driver acts a quarter of one later, one thing at a time and each time a nanosecond
// more, and each node's clock and heartbeats have a microsecond of their own. So no two
// things of one node become ready at once, and its loop has no choice. Engines have no
// interval, which would end somewhen else depending on how their goroutine was scheduled.
type sim struct {
	seed    uint64
	rand    *rand.Rand
	logf    func(string, ...any)
	opts    []cluster.Option
	net     *clustertest.Network
	begin   time.Time
	rooms   int
	hosts   []*simHost // those that run
	started int
	steps   time.Duration

	interval time.Duration // of the engines

	rough       bool // messages were lost, by the network or by who was too slow for them
	garbled     bool // payloads were altered
	crashed     bool // somebody left, and whether all heard a Bye is open
	parted      bool
	undisturbed bool     // and nothing else befalls anybody meanwhile
	mend        []repair // what is broken now

	// mu protects the following, which nodes change as they publish.
	mu     sync.Mutex
	err    error // the first that was found
	traces map[string]uint64
	syncs  map[[2]string]time.Time
}

// simHost is a process: its rooms as they are, beside the engine.
type simHost struct {
	*host
	name    string
	part    map[string]occupancy.Occupancy
	outage  bool
	stalled bool
	dropped uint64 // as the node had dropped when its outage or stall began
}

// repair ends a fault.
type repair struct {
	at time.Duration
	do func()
}

func newSim(seed uint64, logf func(string, ...any), opts []cluster.Option) *sim {
	if logf == nil {
		logf = func(string, ...any) {}
	}
	s := &sim{
		seed:   seed,
		rand:   rand.New(rand.NewPCG(seed, 0)),
		logf:   logf,
		opts:   opts,
		net:    clustertest.NewNetwork(seed),
		begin:  time.Now(),
		traces: map[string]uint64{},
		syncs:  map[[2]string]time.Time{},
	}
	s.rooms = 3 + s.rand.IntN(30)
	s.net.SetFaults(calm)
	s.net.Tap(s.tap)
	return s
}

var calm = clustertest.Faults{MinDelay: time.Millisecond, MaxDelay: time.Millisecond}

// tap sees what is published: it is hashed, for each bus apart, since the order of two
// that publish at once is open; and the syncs are timed.
func (s *sim) tap(from string, m cluster.Message) {
	s.mu.Lock()
	h := fnv.New64a()
	h.Write(binary.BigEndian.AppendUint64(nil, s.traces[from]))
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(s.now())))
	h.Write([]byte(m.Subject.String()))
	h.Write(m.Payload)
	s.traces[from] = h.Sum64()
	s.mu.Unlock()
	if m.Subject.Kind == cluster.KindSyncRequest {
		var r clusterpb.SyncRequest
		if err := proto.Unmarshal(m.Payload, &r); err != nil {
			s.fail("%s publishes what is no request: %v", from, err)
		}
		pair := [2]string{from, string(r.To)}
		s.mu.Lock()
		last, ok := s.syncs[pair]
		s.syncs[pair] = time.Now()
		s.mu.Unlock()
		if ok && time.Since(last) < beat {
			s.fail("%s asks a peer for a sync again after %v", from, time.Since(last))
		}
	}
}

func (s *sim) trace() uint64 {
	h := fnv.New64a()
	for _, name := range slices.Sorted(maps.Keys(s.traces)) {
		h.Write([]byte(name))
		h.Write(binary.BigEndian.AppendUint64(nil, s.traces[name]))
	}
	return h.Sum64()
}

func (s *sim) now() time.Duration { return time.Since(s.begin) }

func (s *sim) fail(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = fmt.Errorf("after %v: "+format, append([]any{s.now()}, args...)...)
		s.logf("%v", s.err)
	}
}

func (s *sim) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// wait waits until a time, and until all is done then.
func (s *sim) wait(until time.Duration) {
	time.Sleep(until - s.now())
	synctest.Wait()
}

// step waits a little, until the driver may act.
func (s *sim) step(least, most time.Duration) {
	until := s.now() + least + time.Duration(s.rand.Int64N(int64(most-least)))
	s.steps++
	s.wait(until.Truncate(time.Millisecond) + 1250*time.Microsecond + s.steps)
}

func (s *sim) chance(p float64) bool { return s.rand.Float64() < p }

func (s *sim) some() *simHost { return s.hosts[s.rand.IntN(len(s.hosts))] }

// start starts a process, whose heartbeats and flushes are at a microsecond of their own.
func (s *sim) start(name string) {
	s.started++
	own := time.Duration(300+s.started) * time.Microsecond
	s.wait(s.now().Truncate(time.Millisecond) + time.Millisecond + own)
	id := fmt.Sprintf("%s.%d", name, s.started)
	bus := s.net.Bus(id)
	h := &simHost{
		host: &host{occupancy.New(occupancy.WithInterval(s.interval)), bus, nil},
		name: name,
		part: map[string]occupancy.Occupancy{},
	}
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], s.seed)
	seed[31] = byte(s.started)
	var err error
	h.node, err = cluster.Start(context.Background(), h.Engine, bus, append([]cluster.Option{
		cluster.WithName(name),
		cluster.WithEntropy(rand.NewChaCha8(seed)),
		cluster.WithSizes(700, 800, s.rand.IntN(4)), // some 25 rooms
		cluster.WithSkew(time.Duration(s.rand.IntN(1000))*time.Millisecond - own),
	}, s.opts...)...)
	if err != nil {
		panic(err)
	}
	s.logf("%v: %s starts", s.now(), id)
	s.hosts = append(s.hosts, h)
	s.step(0, time.Millisecond)
}

// end ends a process without a word, or with a Bye.
func (s *sim) end(h *simHost, bye bool) {
	s.logf("%v: %s ends, bye: %v", s.now(), h.bus.Name(), bye)
	heard := bye && s.calm()
	s.hosts = slices.DeleteFunc(s.hosts, func(other *simHost) bool { return other == h })
	if bye {
		_ = h.node.Close()
		s.step(2*time.Millisecond, 3*time.Millisecond) // the Bye is on its way
	}
	h.crash()
	if !heard {
		return
	}
	for _, other := range s.hosts {
		if slices.ContainsFunc(other.node.Health().Peers, func(p cluster.PeerHealth) bool {
			return p.Incarnation == h.node.Health().Incarnation
		}) {
			s.fail("%s still has %s, which said Bye", other.bus.Name(), h.bus.Name())
		}
	}
}

// calm reports whether nothing is wrong with any bus.
func (s *sim) calm() bool {
	return !s.rough && !s.parted && !slices.ContainsFunc(s.hosts, func(h *simHost) bool { return h.outage || h.stalled })
}

// hook counts somebody in or out.
func (s *sim) hook(h *simHost) {
	room := room(s.rand.IntN(s.rooms))
	o := h.part[room]
	var err error
	switch k := s.rand.IntN(6); {
	case k < 2:
		err = h.Join(room)
		o.Connections++
	case k < 3:
		err = h.Enter(room, "alice")
		o.PresenceMembers++
	case k < 5 && o.Connections > 0:
		err = h.Leave(room)
		o.Connections--
	case k == 5 && o.PresenceMembers > 0:
		err = h.Exit(room, "alice")
		o.PresenceMembers--
	}
	if err != nil {
		s.fail("%s: hook: %v", h.name, err)
	}
	h.part[room] = o
	synctest.Wait()
}

// run is the simulation.
func (s *sim) run() error {
	defer func() {
		for _, h := range s.hosts {
			h.crash()
		}
	}()
	for i := range 3 + s.rand.IntN(6) {
		s.start(fmt.Sprint("n", i))
	}
	end := s.now() + 4*time.Second + time.Duration(s.rand.IntN(14))*time.Second
	weather := s.weather()
	for s.failed() == nil && s.now() < end {
		s.step(0, 60*time.Millisecond)
		s.repair(s.now())
		if s.chance(0.05) {
			weather()
		}
		for range s.rand.IntN(3) {
			s.hook(s.some())
		}
		if s.chance(0.004) {
			h := s.some()
			for range 60 {
				s.hook(h)
			}
		}
	}
	s.step(0, time.Millisecond)
	s.repair(never)
	s.net.Partition()
	s.net.SetFaults(calm)
	for _, h := range s.hosts {
		h.bus.Overflow(0)
	}
	s.logf("%v: the faults stop", s.now())
	synctest.Wait()

	for stop := s.now(); s.failed() == nil; s.step(0, 200*time.Millisecond) {
		h, wrong := s.wrong()
		if wrong == nil {
			s.logf("%v: exact after %v", s.now(), s.now()-stop)
			s.stays()
			break
		}
		patience := s.patience()
		switch known := patience == exact && s.now()-stop > 2*beat; {
		case s.now()-stop > patience:
			s.fail("not exact after %v: %v", patience, wrong)
		case known && !h.node.Health().Degraded:
			s.fail("not exact, and not Degraded: %v", wrong)
		}
	}
	return s.failed()
}

// patience is how long after the faults all must be exact: what was lost is noticed by the
// next heartbeat and asked for a second after the last sync, and who started again has
// replaced what was before; who is gone without a word, or never was, has a lease and a
// heartbeat, or is held.
// Who is not exact when that can be known, after two heartbeats, is Degraded.
func (s *sim) patience() time.Duration {
	if !s.crashed && !s.garbled {
		return exact
	}
	held := slices.ContainsFunc(s.hosts, func(h *simHost) bool { return slices.Contains(states(h.host), cluster.Held) })
	onItsWay := time.Second // its last heartbeat was, for as long
	if held {
		return onItsWay + lease + hold
	}
	return onItsWay + lease + beat
}

// exact is how long it may take where nobody's lease has to end.
const exact = 2500 * time.Millisecond

const never = time.Duration(1<<63 - 1)

// repair ends the faults that are to be over.
func (s *sim) repair(now time.Duration) {
	for _, r := range slices.Clone(s.mend) {
		if now >= r.at {
			r.do()
			synctest.Wait()
		}
	}
	s.mend = slices.DeleteFunc(s.mend, func(r repair) bool { return now >= r.at })
}

// stays has all stay as it is for a while, in which nobody asks for anything and the nodes
// become healthy.
func (s *sim) stays() {
	s.step(lease+hold+2*beat, lease+hold+2*beat+1)
	if _, wrong := s.wrong(); wrong != nil {
		s.fail("no longer exact: %v", wrong)
	}
	for _, h := range s.hosts {
		health := h.node.Health()
		if health.Degraded || len(health.Peers) != len(s.hosts)-1 {
			s.fail("%s is not well: %+v", h.name, health)
		}
		if health.Mismatches > 0 && !s.garbled {
			s.fail("%s was wrong: %+v", h.name, health)
		}
	}
}

// wrong says which node has what other than the true sum.
func (s *sim) wrong() (*simHost, error) {
	sum := map[string]occupancy.Occupancy{}
	for _, h := range s.hosts {
		for room, o := range h.part {
			was := sum[room]
			sum[room] = occ(was.Connections+o.Connections, was.PresenceMembers+o.PresenceMembers)
		}
	}
	maps.DeleteFunc(sum, func(_ string, o occupancy.Occupancy) bool { return o == occupancy.Occupancy{} })
	for _, h := range s.hosts {
		has := maps.Collect(h.All())
		for _, room := range slices.Sorted(maps.Keys(has)) {
			if has[room] != sum[room] {
				return h, fmt.Errorf("%s has %+v in %q, not %+v", h.bus.Name(), has[room], room, sum[room])
			}
		}
		if len(has) != len(sum) {
			return h, fmt.Errorf("%s has %d rooms, not %d", h.bus.Name(), len(has), len(sum))
		}
	}
	return nil, nil
}
