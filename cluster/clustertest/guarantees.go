package clustertest

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/occupancy/occupancy/cluster"
)

func testFirstEvent(s *suite) {
	b := s.newBus(s.T)
	s.Cleanup(func() { s.closeBus(b) })
	events := b.Events()
	if b.Events() != events {
		s.Error("Events is not always the same channel")
	}
	select {
	case e := <-events:
		if e != cluster.Connected && e != cluster.Disconnected {
			s.Errorf("the first event is %v, not the initial state", e)
		}
	case <-time.After(timeout):
		s.Error("Events reports no initial state")
	}
}

func testEverySubscriberReceives(s *suite) {
	from, subject := s.bus(), s.subject(cluster.KindDigest)
	here, there := s.bus(), s.bus()
	inboxes := []*inbox{s.subscribe(here, 64, subject), s.subscribe(here, 64, subject), s.subscribe(there, 64, subject)}
	for _, in := range inboxes {
		in.awaitDelivery(from, subject)
	}
	end := []byte("end")
	s.publish(from, subject, end)
	for _, in := range inboxes {
		for !bytes.Equal(in.next().Payload, end) {
		}
	}
	for _, payload := range [][]byte{{}, {0}, []byte("text\r\n"), bytes.Repeat([]byte{0xff}, 1000)} {
		s.publish(from, subject, payload)
		for _, in := range inboxes {
			in.want(subject, payload)
		}
	}
}

func testOwnMessages(s *suite) {
	b, subject := s.bus(), s.subject(cluster.KindHeartbeat)
	in := s.subscribe(b, 64, subject)
	s.publish(b, subject, []byte("own"))
	in.want(subject, []byte("own"))
}

func testOnlySubscribedSubjects(s *suite) {
	from, mine := s.bus(), s.subject(cluster.KindDigest)
	in := s.subscribe(s.bus(), 64, mine)
	in.awaitDelivery(from, mine)
	for kind := cluster.KindDigest; kind <= cluster.KindTrends; kind++ {
		for _, shard := range []uint32{0, mine.Shard - 1, mine.Shard + 1, mine.Shard * 10} {
			s.publish(from, cluster.Subject{Kind: kind, Shard: shard}, nil)
		}
		if kind != mine.Kind {
			s.publish(from, cluster.Subject{Kind: kind, Shard: mine.Shard}, nil)
		}
	}
	s.publish(from, mine, []byte("mine"))
	in.want(mine, []byte("mine")) // the first message after awaitDelivery, although others were published earlier
}

func testSubscribeTakesEffect(s *suite) {
	b, from := s.bus(), s.bus()
	for range 20 {
		subject := s.subject(cluster.KindAnswer)
		in := s.subscribe(b, 1, subject)
		s.publish(from, subject, []byte("the first"))
		in.want(subject, []byte("the first"))
	}
}

func testOrder(s *suite) {
	subjects := make([]cluster.Subject, 7)
	for i := range subjects {
		subjects[i] = s.subject(cluster.KindDigest + cluster.Kind(i))
	}
	const messages = 2000
	from, in := s.bus(), s.subscribe(s.bus(), messages+64, subjects...)
	for _, subject := range subjects {
		in.awaitDelivery(from, subject)
	}
	for n := range uint64(messages) {
		s.publish(from, subjects[rand.IntN(len(subjects))], append(encodeNumber(n), "in order"...))
	}
	for n := uint64(0); n < messages; {
		m := in.next()
		if len(m.Payload) == 8 {
			continue // awaitDelivery has published this message
		}
		if got := binary.BigEndian.Uint64(m.Payload); got != n {
			s.Fatalf("received message %d, want %d", got, n)
		}
		n++
	}
}

func testPayloadOwnership(s *suite) {
	from, subject := s.bus(), s.subject(cluster.KindDigest)
	b := s.bus()
	first, second := s.subscribe(b, 64, subject), s.subscribe(b, 64, subject)
	first.awaitDelivery(from, subject)
	second.awaitDelivery(from, subject)
	end := []byte("end")
	s.publish(from, subject, end)
	for _, in := range []*inbox{first, second} {
		for !bytes.Equal(in.next().Payload, end) {
		}
	}
	payload := []byte("as published")
	s.publish(from, subject, payload)
	copy(payload, "changed") // the caller can reuse the payload after Publish
	m := first.next()
	if string(m.Payload) != "as published" {
		s.Fatalf("the payload is %q", m.Payload)
	}
	copy(m.Payload, "altered") // each receiver owns its payload
	second.want(subject, []byte("as published"))
}

func testMaxPayload(s *suite) {
	from, subject := s.bus(), s.subject(cluster.KindDigest)
	in := s.subscribe(s.bus(), 64, subject)
	in.awaitDelivery(from, subject)
	largest := from.MaxPayload()
	if largest < cluster.MinPayload {
		s.Fatalf("MaxPayload is %d, less than %d", largest, cluster.MinPayload)
	}
	payload := make([]byte, largest+1)
	for i := range payload {
		payload[i] = byte(i * 7)
	}
	if from.Publish(context.Background(), subject, payload) == nil {
		s.Error("Publish of a payload larger than MaxPayload returns nil")
	}
	s.publish(from, subject, payload[:largest])
	in.want(subject, payload[:largest])
}

func testDoneContext(s *suite) {
	from, subject := s.bus(), s.subject(cluster.KindDigest)
	in := s.subscribe(s.bus(), 64, subject)
	in.awaitDelivery(from, subject)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if from.Publish(ctx, subject, []byte("too late")) == nil {
		s.Error("Publish with a done context returns nil")
	}
	if sub, err := from.Subscribe(ctx, []cluster.Subject{subject}, make(chan cluster.Message, 1)); err == nil {
		_ = sub.Close()
		s.Error("Subscribe with a done context returns nil")
	}
	s.publish(from, subject, []byte("in time"))
	in.want(subject, []byte("in time"))
}

func testFullChannel(s *suite) {
	from, subject := s.bus(), s.subject(cluster.KindDigest)
	slowBus, fastBus := s.bus(), s.bus()
	const messages = 200
	full, in := s.subscribe(slowBus, 1, subject), s.subscribe(fastBus, messages+64, subject)
	in.awaitDelivery(from, subject)
	for n := range uint64(messages) {
		s.publish(from, subject, append(encodeNumber(n), "all of it"...))
	}
	for n := uint64(0); n < messages; {
		if m := in.next(); len(m.Payload) > 8 {
			if got := binary.BigEndian.Uint64(m.Payload); got != n {
				s.Fatalf("the subscriber that is not full received message %d, want %d", got, n)
			}
			n++
		}
	}
	s.awaitEvent(slowBus, cluster.Lossy)
	full.awaitDelivery(from, subject) // the subscription still works
}

func testClosedSubscription(s *suite) {
	from, subject := s.bus(), s.subject(cluster.KindDigest)
	b := s.bus()
	closed, open := s.subscribe(b, 4096, subject), s.subscribe(b, 4096, subject)
	closed.awaitDelivery(from, subject)
	open.awaitDelivery(from, subject)
	stop := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_ = from.Publish(context.Background(), subject, []byte("until stopped"))
				runtime.Gosched()
			}
		}
	}()
	for range 100 {
		open.next()
	}
	for range 2 {
		if err := closed.sub.Close(); err != nil {
			s.Errorf("Close of the subscription: %v", err)
		}
	}
	for len(closed.msgs) > 0 {
		<-closed.msgs
	}
	for range cap(open.msgs) + 100 { // more messages than the number in transit at the Close
		open.next()
	}
	close(stop)
	<-stopped
	if len(closed.msgs) > 0 {
		s.Error("a message was received after the Close of the subscription")
	}
}

func testConcurrentUse(s *suite) {
	const publishers, messages = 4, 300
	subject := s.subject(cluster.KindDigest)
	from, to := s.bus(), s.bus()
	in := s.subscribe(to, publishers*messages+64, subject)
	in.awaitDelivery(from, subject)
	concurrently(publishers, func(int) {
		for n := range messages {
			if err := from.Publish(context.Background(), subject, []byte("one of all")); err != nil {
				s.Errorf("Publish: %v", err)
			}
			if n%100 == 0 {
				other := make(chan cluster.Message, 1)
				sub, err := to.Subscribe(context.Background(), []cluster.Subject{s.subject(cluster.KindAnswer)}, other)
				if err != nil {
					s.Errorf("Subscribe: %v", err)
					continue
				}
				if from.MaxPayload() < cluster.MinPayload {
					s.Error("MaxPayload is less than MinPayload")
				}
				if err := sub.Close(); err != nil {
					s.Errorf("Close of the subscription: %v", err)
				}
			}
		}
	})
	for n := 0; n < publishers*messages; {
		if string(in.next().Payload) == "one of all" {
			n++
		}
	}
}

func testClosedBus(s *suite) {
	from, subject := s.bus(), s.subject(cluster.KindDigest)
	b, other := s.bus(), s.subscribe(s.bus(), 64, subject)
	in := s.subscribe(b, 4096, subject)
	in.awaitDelivery(from, subject)
	other.awaitDelivery(from, subject)
	concurrently(3, func(int) { s.closeBus(b) })
	s.closeBus(b)
	for open := true; open; {
		select {
		case _, open = <-b.Events():
		case <-time.After(timeout):
			s.Fatal("Events is not closed")
		}
	}
	for len(in.msgs) > 0 {
		<-in.msgs
	}
	if b.Publish(context.Background(), subject, []byte("closed")) == nil {
		s.Error("Publish after Close returns nil")
	}
	if _, err := b.Subscribe(context.Background(), []cluster.Subject{subject}, in.msgs); err == nil {
		s.Error("Subscribe after Close returns nil")
	}
	s.publish(from, subject, []byte("open"))
	for {
		if m := other.next(); string(m.Payload) == "open" {
			break
		} else if string(m.Payload) == "closed" {
			s.Error("a message was published after Close")
		}
	}
	if len(in.msgs) > 0 {
		s.Error("a message was received after Close")
	}
}

func testOutage(s *suite) {
	if s.cfg.disconnect == nil {
		s.Log("not tested: WithOutage is missing")
		return
	}
	b, other, subject := s.bus(), s.bus(), s.subject(cluster.KindDigest)
	in, out := s.subscribe(b, 4096, subject), s.subscribe(other, 4096, subject)
	in.awaitDelivery(other, subject)
	out.awaitDelivery(b, subject)

	s.cfg.disconnect(b)
	s.awaitEventWithin(min(timeout, outageTimeout), b, cluster.Disconnected)
	published := make(chan struct{})
	go func() {
		defer close(published)
		for range 10 {
			_ = b.Publish(context.Background(), subject, []byte("possibly lost"))
		}
	}()
	select {
	case <-published:
	case <-time.After(timeout):
		s.Fatal("Publish waits for the connection")
	}
	s.cfg.reconnect(b)
	s.awaitEvent(b, cluster.Connected)
	in.awaitDelivery(other, subject) // the subscription survives
	out.awaitDelivery(b, subject)
}
