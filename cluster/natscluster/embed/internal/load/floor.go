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

// floor is a process that only writes to connections. Its CPU time is the minimum for any
// server that writes as often on this machine. On the loopback that includes the TCP work
// of the receivers.
type floor struct {
	Conns int
	Bytes int           // of each write
	Gap   time.Duration // between two rounds; a round is one write to each connection
}

// serveFloor is the main function of a floor's process. It returns when in is closed.
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
	return serveCounters(in, out, l.Addr().String(), func() (counters, error) {
		return counters{CPU: cpuTime(), OutMsgs: sent.Load()}, nil
	})
}

// write accepts the connections and writes until an error. A round that is late does not
// delay the rounds after it.
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
		sleep(context.Background(), time.Until(due))
		for _, conn := range conns {
			if _, err := conn.Write(payload); err != nil {
				return err
			}
			sent.Add(1)
		}
	}
}

// usage is what a floor's process used.
type usage struct {
	cores  float64
	writes float64 // per second
}

// measure runs the process and reads everything that it writes as the NATS client does:
// with one goroutine for each connection and a buffer of 32 KiB. If ctx ends, it returns a
// zero usage and no error.
func (f floor) measure(ctx context.Context, duration time.Duration) (u usage, err error) {
	spec, err := json.Marshal(f)
	if err != nil {
		return u, err
	}
	p, err := startProcess(floorVariable + "=" + string(spec))
	if err != nil {
		return u, err
	}
	var readers sync.WaitGroup
	defer readers.Wait()
	defer func() { err = errors.Join(err, p.stop()) }()
	for range f.Conns {
		conn, err := net.Dial("tcp", p.address)
		if err != nil {
			return u, err
		}
		readers.Go(func() { readAll(conn) })
	}
	if !sleep(ctx, duration/10) {
		return u, nil
	}
	before, err := p.counters()
	if err != nil {
		return u, err
	}
	start := time.Now()
	if !sleep(ctx, duration) {
		return u, nil
	}
	after, err := p.counters()
	if err != nil {
		return u, err
	}
	seconds := time.Since(start).Seconds()
	return usage{(after.CPU - before.CPU).Seconds() / seconds, float64(after.OutMsgs-before.OutMsgs) / seconds}, nil
}

// readAll reads until the process at the other end stops.
func readAll(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	for buf := make([]byte, 32<<10); ; {
		if _, err := conn.Read(buf); err != nil {
			return
		}
	}
}
