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

func theFirstEventIsTheState(s *suite) {
	b := s.newBus(s.T)
	s.Cleanup(func() { s.closeBus(b) })
	events := b.Events()
	if b.Events() != events {
		s.Error("Events is not always the same channel")
	}
	select {
	case e := <-events:
		if e != cluster.Connected && e != cluster.Disconnected {
			s.Errorf("the first event is %v", e)
		}
	case <-time.After(patience):
		s.Error("there is no first event")
	}
}

func everySubscriberGetsIt(s *suite) {
	from, subject := s.bus(), s.subject(cluster.KindDigest)
	here, there := s.bus(), s.bus()
	inboxes := []*inbox{s.subscribe(here, 64, subject), s.subscribe(here, 64, subject), s.subscribe(there, 64, subject)}
	for _, in := range inboxes {
		in.reached(from, subject)
	}
	end := []byte("after those that reached published")
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

func onlyWhatItSubscribedTo(s *suite) {
	from, mine := s.bus(), s.subject(cluster.KindDigest)
	in := s.subscribe(s.bus(), 64, mine)
	in.reached(from, mine)
	for kind := cluster.KindDigest; kind <= cluster.KindSyncReply; kind++ {
		for _, shard := range []uint32{0, mine.Shard - 1, mine.Shard + 1, mine.Shard * 10} {
			s.publish(from, cluster.Subject{Kind: kind, Shard: shard}, nil)
		}
		if kind != mine.Kind {
			s.publish(from, cluster.Subject{Kind: kind, Shard: mine.Shard}, nil)
		}
	}
	s.publish(from, mine, []byte("mine"))
	in.want(mine, []byte("mine")) // which came last, so nothing else did
}

func subscribingIsInForce(s *suite) {
	b, from := s.bus(), s.bus()
	for range 20 {
		subject := s.subject(cluster.KindAnswer)
		in := s.subscribe(b, 1, subject)
		s.publish(from, subject, []byte("the first"))
		in.want(subject, []byte("the first"))
	}
}

func orderIsKept(s *suite) {
	subjects := make([]cluster.Subject, 7)
	for i := range subjects {
		subjects[i] = s.subject(cluster.KindDigest + cluster.Kind(i))
	}
	const messages = 2000
	from, in := s.bus(), s.subscribe(s.bus(), messages+64, subjects...)
	for _, subject := range subjects {
		in.reached(from, subject)
	}
	for n := range uint64(messages) {
		s.publish(from, subjects[rand.IntN(len(subjects))], append(number(n), "in order"...))
	}
	for n := uint64(0); n < messages; {
		m := in.next()
		if len(m.Payload) == 8 {
			continue // of reached
		}
		if got := binary.BigEndian.Uint64(m.Payload); got != n {
			s.Fatalf("message %d comes where %d should", got, n)
		}
		n++
	}
}

func payloadsHaveOneOwner(s *suite) {
	from, subject := s.bus(), s.subject(cluster.KindDigest)
	b := s.bus()
	one, other := s.subscribe(b, 64, subject), s.subscribe(b, 64, subject)
	one.reached(from, subject)
	other.reached(from, subject)
	end := []byte("end")
	s.publish(from, subject, end)
	for _, in := range []*inbox{one, other} {
		for !bytes.Equal(in.next().Payload, end) {
		}
	}
	payload := []byte("as published")
	s.publish(from, subject, payload)
	copy(payload, "changed") // the caller's again
	m := one.next()
	if string(m.Payload) != "as published" {
		s.Fatalf("the payload is %q", m.Payload)
	}
	copy(m.Payload, "altered") // the receiver's
	other.want(subject, []byte("as published"))
}

func theLargestPasses(s *suite) {
	from, subject := s.bus(), s.subject(cluster.KindDigest)
	in := s.subscribe(s.bus(), 64, subject)
	in.reached(from, subject)
	largest := from.MaxPayload()
	if largest < cluster.MinPayload {
		s.Fatalf("MaxPayload is %d, less than %d", largest, cluster.MinPayload)
	}
	payload := make([]byte, largest+1)
	for i := range payload {
		payload[i] = byte(i * 7)
	}
	if from.Publish(context.Background(), subject, payload) == nil {
		s.Error("a payload larger than MaxPayload is not refused")
	}
	s.publish(from, subject, payload[:largest])
	in.want(subject, payload[:largest])
}

func anEndedContextPublishesNothing(s *suite) {
	from, subject := s.bus(), s.subject(cluster.KindDigest)
	in := s.subscribe(s.bus(), 64, subject)
	in.reached(from, subject)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if from.Publish(ctx, subject, []byte("too late")) == nil {
		s.Error("Publish with an ended context returns nil")
	}
	if sub, err := from.Subscribe(ctx, []cluster.Subject{subject}, make(chan cluster.Message, 1)); err == nil {
		_ = sub.Close()
		s.Error("Subscribe with an ended context returns nil")
	}
	s.publish(from, subject, []byte("in time"))
	in.want(subject, []byte("in time"))
}

func aFullChannelIsTold(s *suite) {
	from, subject := s.bus(), s.subject(cluster.KindDigest)
	slow, reads := s.bus(), s.bus()
	const messages = 200
	full, in := s.subscribe(slow, 1, subject), s.subscribe(reads, messages+64, subject)
	in.reached(from, subject)
	for n := range uint64(messages) {
		s.publish(from, subject, append(number(n), "all of it"...))
	}
	for n := uint64(0); n < messages; {
		if m := in.next(); len(m.Payload) > 8 {
			if got := binary.BigEndian.Uint64(m.Payload); got != n {
				s.Fatalf("another subscriber gets message %d where %d should come", got, n)
			}
			n++
		}
	}
	s.event(slow, cluster.Lossy)
	full.reached(from, subject) // and it goes on
}

func anEndedSubscriptionIsSilent(s *suite) {
	from, subject := s.bus(), s.subject(cluster.KindDigest)
	b := s.bus()
	ended, stays := s.subscribe(b, 4096, subject), s.subscribe(b, 4096, subject)
	ended.reached(from, subject)
	stays.reached(from, subject)
	stop := make(chan struct{})
	storm := make(chan struct{})
	go func() {
		defer close(storm)
		for {
			select {
			case <-stop:
				return
			default:
				_ = from.Publish(context.Background(), subject, []byte("storm"))
				runtime.Gosched()
			}
		}
	}()
	for range 100 {
		stays.next()
	}
	for range 2 {
		if err := ended.sub.Close(); err != nil {
			s.Errorf("Close of the subscription: %v", err)
		}
	}
	for len(ended.msgs) > 0 {
		<-ended.msgs
	}
	for range cap(stays.msgs) + 100 { // more than were on their way
		stays.next()
	}
	close(stop)
	<-storm
	if len(ended.msgs) > 0 {
		s.Error("a message comes after the subscription's end")
	}
}

func allAtOnce(s *suite) {
	const publishers, messages = 4, 300
	subject := s.subject(cluster.KindDigest)
	from, to := s.bus(), s.bus()
	in := s.subscribe(to, publishers*messages+64, subject)
	in.reached(from, subject)
	together(publishers, func(int) {
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
					s.Error("MaxPayload became less than it may be")
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

func aClosedBusIsSilent(s *suite) {
	from, subject := s.bus(), s.subject(cluster.KindDigest)
	b, stays := s.bus(), s.subscribe(s.bus(), 64, subject)
	in := s.subscribe(b, 4096, subject)
	in.reached(from, subject)
	stays.reached(from, subject)
	together(3, func(int) { s.closeBus(b) })
	s.closeBus(b)
	for open := true; open; {
		select {
		case _, open = <-b.Events():
		case <-time.After(patience):
			s.Fatal("Events is not closed")
		}
	}
	for len(in.msgs) > 0 {
		<-in.msgs
	}
	if b.Publish(context.Background(), subject, []byte("closed")) == nil {
		s.Error("Publish returns nil")
	}
	if _, err := b.Subscribe(context.Background(), []cluster.Subject{subject}, in.msgs); err == nil {
		s.Error("Subscribe returns nil")
	}
	s.publish(from, subject, []byte("open"))
	for {
		if m := stays.next(); string(m.Payload) == "open" {
			break
		} else if string(m.Payload) == "closed" {
			s.Error("a closed bus published")
		}
	}
	if len(in.msgs) > 0 {
		s.Error("a message comes after Close")
	}
}

func anOutage(s *suite) {
	if s.cfg.cut == nil {
		s.Log("needs WithOutage")
		return
	}
	b, other, subject := s.bus(), s.bus(), s.subject(cluster.KindDigest)
	in, out := s.subscribe(b, 4096, subject), s.subscribe(other, 4096, subject)
	in.reached(other, subject)
	out.reached(b, subject)

	s.cfg.cut(b)
	s.event(b, cluster.Disconnected)
	for range 10 {
		if b.Publish(context.Background(), subject, []byte("kept")) == nil {
			s.Error("Publish without a connection returns nil")
		}
	}
	s.cfg.mend(b)
	s.event(b, cluster.Connected)
	in.reached(other, subject) // the subscription is there still
	out.reached(b, subject)
	s.publish(b, subject, []byte("end"))
	for {
		switch string(out.next().Payload) {
		case "kept":
			s.Error("what was published without a connection came later")
		case "end":
			return
		}
	}
}
