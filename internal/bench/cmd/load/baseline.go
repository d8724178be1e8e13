//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"sync"
	"time"
)

// baseline describes a process that only writes to connections. On this machine, no server
// with the same number of writes can use less CPU time. On the loopback, the CPU time
// includes the TCP work of the receivers.
type baseline struct {
	Conns int           // the number of connections
	Bytes int           // the size of each write
	Gap   time.Duration // the time between two rounds; a round is one write to each connection
}

// serveBaseline is the main function of the baseline process.
func serveBaseline(spec string) error {
	var b baseline
	if err := json.Unmarshal([]byte(spec), &b); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	return b.write(l)
}

// write accepts the connections and writes to them until an error occurs. A late round does
// not delay the following rounds.
func (b baseline) write(l net.Listener) error {
	conns := make([]net.Conn, b.Conns)
	for i := range conns {
		var err error
		if conns[i], err = l.Accept(); err != nil {
			return err
		}
	}
	payload := make([]byte, b.Bytes)
	for due := time.Now(); ; due = due.Add(b.Gap) {
		sleep(context.Background(), time.Until(due))
		for _, conn := range conns {
			if _, err := conn.Write(payload); err != nil {
				return err
			}
		}
	}
}

// usage is the resource usage of a baseline process.
type usage struct {
	cores  float64 // CPU seconds per second
	writes float64 // per second
}

// measure runs the process and measures its usage. Like the clients of the servers, it reads
// with one goroutine for each connection. If ctx ends, measure returns a zero usage and no
// error.
func (b baseline) measure(ctx context.Context, duration time.Duration) (u usage, err error) {
	spec, err := json.Marshal(b)
	if err != nil {
		return u, err
	}
	p, err := startChild(string(spec))
	if err != nil {
		return u, err
	}
	var readers sync.WaitGroup
	defer readers.Wait()
	defer p.stop()
	for range b.Conns {
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
	return usage{(after.cpu - before.cpu).Seconds() / seconds, float64(after.writes-before.writes) / seconds}, nil
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
