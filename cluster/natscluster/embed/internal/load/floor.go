//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// floor is the traffic of a bare process that writes to connections and does nothing
// else: what that takes of a core, any server takes here that writes as often. On
// loopback a write does the receiver's part of TCP, too.
type floor struct {
	Conns int
	Bytes int           // of each write
	Gap   time.Duration // from a round to the next; in each, every connection has one write
}

// serveFloor is the floor's process. It ends with its input.
func serveFloor(spec string, in io.Reader, out io.Writer) error {
	var f floor
	if err := json.Unmarshal([]byte(spec), &f); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var sent atomic.Int64
	go func() { exit(f.write(l, &sent)) }()
	return tell(in, out, l.Addr().String(), func() (counters, error) {
		return counters{CPU: cpu(), OutMsgs: sent.Load()}, nil
	})
}

// write goes on for ever. A round that is late does not delay those after it.
func (f floor) write(l net.Listener, sent *atomic.Int64) error {
	conns := make([]net.Conn, f.Conns)
	for i := range conns {
		var err error
		if conns[i], err = l.Accept(); err != nil {
			return err
		}
	}
	payload := make([]byte, f.Bytes)
	for due := time.Now(); ; due = due.Add(f.Gap) {
		pause(context.Background(), time.Until(due))
		for _, conn := range conns {
			if _, err := conn.Write(payload); err != nil {
				return err
			}
			sent.Add(1)
		}
	}
}

// cost is what a floor's process took.
type cost struct {
	cores  float64
	writes float64 // a second
}

// measure reads all that the floor writes, as the NATS client does: a goroutine for each
// connection, into 32 kB. If ctx ends it has measured nothing, which is no error.
func (f floor) measure(ctx context.Context, duration time.Duration) (c cost, err error) {
	spec, err := json.Marshal(f)
	if err != nil {
		return c, err
	}
	p, err := startProcess(asFloor + "=" + string(spec))
	if err != nil {
		return c, err
	}
	var reading sync.WaitGroup
	defer reading.Wait()
	defer func() { err = errors.Join(err, p.stop()) }()
	for range f.Conns {
		conn, err := net.Dial("tcp", p.address)
		if err != nil {
			return c, err
		}
		reading.Go(func() { readAll(conn) })
	}
	if !pause(ctx, duration/10) {
		return c, nil
	}
	from, err := p.counters()
	if err != nil {
		return c, err
	}
	begun := time.Now()
	if !pause(ctx, duration) {
		return c, nil
	}
	to, err := p.counters()
	if err != nil {
		return c, err
	}
	seconds := time.Since(begun).Seconds()
	return cost{(to.CPU - from.CPU).Seconds() / seconds, float64(to.OutMsgs-from.OutMsgs) / seconds}, nil
}

// readAll ends with the process at the other end.
func readAll(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	for buf := make([]byte, 32<<10); ; {
		if _, err := conn.Read(buf); err != nil {
			return
		}
	}
}
