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

// The default times.
const (
	beat  = time.Second
	lease = 5 * beat
	hold  = 15 * time.Second
)

// sim is a simulation: nodes, faults, and the true counts of the rooms.
//
// A simulation is reproducible, because no two events of one node are ready at the same
// time. The network delivers on whole milliseconds. The simulation calls hooks a quarter of
// a millisecond later, and adds one nanosecond at each step. The timers of each node have
// their own offset of some microseconds. The engines have no interval, because the end of
// an interval depends on the scheduling of goroutines.
type sim struct {
	seed    uint64
	rand    *rand.Rand
	logf    func(string, ...any)
	opts    []cluster.Option
	net     *clustertest.Network
	begin   time.Time
	rooms   int
	hosts   []*simHost // running
	started int
	steps   time.Duration

	interval time.Duration // the interval of the engines

	lossy       bool     // messages were lost
	garbled     bool     // payloads were altered
	crashed     bool     // a node stopped, and possibly another node received no Bye
	parted      bool     // the network is partitioned
	undisturbed bool     // if true, no other fault can start
	repairs     []repair // the repairs of the current faults

	// mu protects the following, which change when nodes publish.
	mu     sync.Mutex
	err    error // the first error
	traces map[string]uint64
	syncs  map[[2]string]time.Time
}

// simHost is a process with the true counts of its rooms.
type simHost struct {
	*host
	name    string
	counts  map[string]occupancy.Occupancy
	outage  bool
	stalled bool
	dropped uint64 // the node's dropped peers when its outage or stall began
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
	s.net.SetFaults(noFaults)
	s.net.Tap(s.tap)
	return s
}

var noFaults = clustertest.Faults{MinDelay: time.Millisecond, MaxDelay: time.Millisecond}

// tap hashes each published message, and checks the time between sync requests. There is
// one hash for each bus: if two buses publish at the same time, their order can differ.
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
			s.fail("%s publishes an invalid sync request: %v", from, err)
		}
		pair := [2]string{from, string(r.To)}
		s.mu.Lock()
		last, ok := s.syncs[pair]
		s.syncs[pair] = time.Now()
		s.mu.Unlock()
		if ok && time.Since(last) < beat {
			s.fail("%s sends a sync request to the same peer again after %v", from, time.Since(last))
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

// wait waits until the given time, and until everything that is due at this time is done.
func (s *sim) wait(until time.Duration) {
	time.Sleep(until - s.now())
	synctest.Wait()
}

// step waits for a random time in the given range.
func (s *sim) step(least, most time.Duration) {
	until := s.now() + least + time.Duration(s.rand.Int64N(int64(most-least)))
	s.steps++
	s.wait(until.Truncate(time.Millisecond) + 1250*time.Microsecond + s.steps)
}

func (s *sim) chance(p float64) bool { return s.rand.Float64() < p }

func (s *sim) randomHost() *simHost { return s.hosts[s.rand.IntN(len(s.hosts))] }

// start starts a process. Its heartbeats and flushes have their own offset.
func (s *sim) start(name string) {
	s.started++
	offset := time.Duration(300+s.started) * time.Microsecond
	s.wait(s.now().Truncate(time.Millisecond) + time.Millisecond + offset)
	id := fmt.Sprintf("%s.%d", name, s.started)
	bus := s.net.Bus(id)
	h := &simHost{
		host:   &host{occupancy.New(occupancy.WithInterval(s.interval)), bus, nil},
		name:   name,
		counts: map[string]occupancy.Occupancy{},
	}
	var seed [32]byte
	binary.BigEndian.PutUint64(seed[:], s.seed)
	seed[31] = byte(s.started)
	var err error
	h.node, err = cluster.Start(context.Background(), h.Engine, bus, append([]cluster.Option{
		cluster.WithName(name),
		cluster.WithEntropy(rand.NewChaCha8(seed)),
		cluster.WithSizes(700, 800, s.rand.IntN(4)), // a digest contains about 25 rooms
		cluster.WithClockSkew(time.Duration(s.rand.IntN(1000))*time.Millisecond - offset),
	}, s.opts...)...)
	if err != nil {
		panic(err)
	}
	s.logf("%v: %s starts", s.now(), id)
	s.hosts = append(s.hosts, h)
	s.step(0, time.Millisecond)
}

// end stops a process: with a Bye, or without a Bye like a crash.
func (s *sim) end(h *simHost, bye bool) {
	s.logf("%v: %s ends, bye: %v", s.now(), h.bus.Name(), bye)
	received := bye && s.allBusesOK()
	s.hosts = slices.DeleteFunc(s.hosts, func(other *simHost) bool { return other == h })
	if bye {
		_ = h.node.Close()
		s.step(2*time.Millisecond, 3*time.Millisecond) // wait until the Bye is delivered
	}
	h.crash()
	if !received {
		return
	}
	for _, other := range s.hosts {
		if slices.ContainsFunc(other.node.Health().Peers, func(p cluster.PeerHealth) bool {
			return p.Incarnation == h.node.Health().Incarnation
		}) {
			s.fail("%s still has the peer %s, which has sent a Bye", other.bus.Name(), h.bus.Name())
		}
	}
}

// allBusesOK reports whether no bus has a fault.
func (s *sim) allBusesOK() bool {
	return !s.lossy && !s.parted && !slices.ContainsFunc(s.hosts, func(h *simHost) bool { return h.outage || h.stalled })
}

// callHook calls a random hook.
func (s *sim) callHook(h *simHost) {
	room := room(s.rand.IntN(s.rooms))
	o := h.counts[room]
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
	h.counts[room] = o
	synctest.Wait()
}

// run runs the simulation and returns the first error.
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
	startFault := s.faults()
	for s.failed() == nil && s.now() < end {
		s.step(0, 60*time.Millisecond)
		s.repair(s.now())
		if s.chance(0.05) {
			startFault()
		}
		for range s.rand.IntN(3) {
			s.callHook(s.randomHost())
		}
		if s.chance(0.004) {
			h := s.randomHost()
			for range 60 {
				s.callHook(h)
			}
		}
	}
	s.step(0, time.Millisecond)
	s.repair(never)
	s.net.Partition()
	s.net.SetFaults(noFaults)
	for _, h := range s.hosts {
		h.bus.Overflow(0)
	}
	s.logf("%v: the faults stop", s.now())
	synctest.Wait()

	for stop := s.now(); s.failed() == nil; s.step(0, 200*time.Millisecond) {
		h, wrong := s.mismatch()
		if wrong == nil {
			s.logf("%v: exact after %v", s.now(), s.now()-stop)
			s.checkStable()
			break
		}
		timeout := s.timeout()
		// If messages were only lost, each node detects this after two heartbeat intervals.
		mustDetect := timeout == exact && s.now()-stop > 2*beat
		switch {
		case s.now()-stop > timeout:
			s.fail("not exact after %v: %v", timeout, wrong)
		case mustDetect && !h.node.Health().Degraded:
			s.fail("not exact, and not Degraded: %v", wrong)
		}
	}
	return s.failed()
}

// timeout returns the time within which all counts must be exact after the end of the
// faults. Lost messages are detected at the next heartbeat, and requested at most one
// second after the last sync request. A crashed node, and a node that a garbled message
// seems to describe, is dropped one heartbeat interval after its lease, or after the hold
// time.
func (s *sim) timeout() time.Duration {
	if !s.crashed && !s.garbled {
		return exact
	}
	held := slices.ContainsFunc(s.hosts, func(h *simHost) bool { return slices.Contains(states(h.host), cluster.Held) })
	delay := time.Second // the longest delay of the last heartbeat
	if held {
		return delay + lease + hold
	}
	return delay + lease + beat
}

// exact is the timeout if no lease has to expire.
const exact = 2500 * time.Millisecond

const never = time.Duration(1<<63 - 1)

// repair ends the faults that are due to end.
func (s *sim) repair(now time.Duration) {
	for _, r := range slices.Clone(s.repairs) {
		if now >= r.at {
			r.do()
			synctest.Wait()
		}
	}
	s.repairs = slices.DeleteFunc(s.repairs, func(r repair) bool { return now >= r.at })
}

// checkStable checks that the counts remain exact and that the nodes become healthy.
func (s *sim) checkStable() {
	s.step(lease+hold+2*beat, lease+hold+2*beat+1)
	if _, wrong := s.mismatch(); wrong != nil {
		s.fail("no longer exact: %v", wrong)
	}
	for _, h := range s.hosts {
		health := h.node.Health()
		if health.Degraded || len(health.Peers) != len(s.hosts)-1 {
			s.fail("%s is not healthy: %+v", h.name, health)
		}
		if health.Mismatches > 0 && !s.garbled {
			s.fail("%s had a hash mismatch: %+v", h.name, health)
		}
	}
}

// mismatch returns a node with a wrong count, and an error that describes this count.
func (s *sim) mismatch() (*simHost, error) {
	sum := map[string]occupancy.Occupancy{}
	for _, h := range s.hosts {
		for room, o := range h.counts {
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
