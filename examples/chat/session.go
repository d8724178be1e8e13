package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/occupancy/occupancy"
)

// session is one websocket in one room. Three goroutines serve it: read, which is the
// HTTP handler's own, write and ping. Whatever goes wrong in one of them, or elsewhere,
// calls end: then the session leaves its room, write says goodbye, and read returns.
type session struct {
	limits limits
	ws     *websocket.Conn
	conn   *occupancy.Lease
	events <-chan occupancy.Event // holds the newest only, however slowly it is read
	outbox chan []byte            // holds every message, so it needs a limit
	room   *room

	ctx      context.Context // its cause is a goodbye
	end      context.CancelCauseFunc
	clientID string // entered under, or ""; only read uses it
}

// session serves a websocket that has just been accepted, until it is closed.
func (s *server) session(ws *websocket.Conn, name string) {
	conn, err := s.engine.Connect(name)
	if err != nil {
		sayGoodbye(ws, refused(err))
		return
	}
	defer conn.Close()
	sub, err := s.engine.Subscribe(name)
	if err != nil {
		sayGoodbye(ws, refused(err))
		return
	}

	ctx, end := context.WithCancelCause(s.ctx)
	c := &session{
		limits: s.limits, ws: ws, conn: conn, events: sub.Events(),
		outbox: make(chan []byte, s.limits.outbox), ctx: ctx, end: end,
	}
	c.room = s.hub.join(name, c)
	leave := func() {
		s.hub.leave(name, c.room, c)
		sub.Unsubscribe()
		_ = conn.Close()
	}
	defer leave()

	// The session's end is not yet the websocket's: a method of it whose context ends
	// drops the connection without a word. So its methods get alive, which lasts until
	// the client has answered the goodbye, or had its time to.
	alive, kill := context.WithCancel(context.Background())
	defer kill()
	defer context.AfterFunc(ctx, func() {
		leave() // closing may take a while, and meanwhile nobody is here
		time.AfterFunc(s.limits.closeWait, kill)
	})()

	var others sync.WaitGroup
	others.Go(func() { c.write(alive) })
	others.Go(func() { c.ping(alive) })
	c.read(alive)
	end(errLeft)
	others.Wait()
}

// read does what the client asks for, until the websocket is closed. It reads on
// after the session's end, to find the client's answer to the goodbye.
func (s *session) read(alive context.Context) {
	s.ws.SetReadLimit(maxMessage)
	for {
		kind, data, err := s.ws.Read(alive)
		if err != nil {
			return
		}
		if s.ctx.Err() != nil {
			continue
		}
		q, err := parse(kind, data)
		if err == nil {
			err = s.handle(q)
		}
		if err != nil {
			s.end(err)
		}
	}
}

// handle does what a request asks for. An error is a goodbye.
func (s *session) handle(q request) error {
	switch q.Type {
	case "enter":
		if err := s.conn.Enter(q.ClientID); err != nil {
			return refused(err)
		}
		if s.clientID != "" && s.clientID != q.ClientID {
			_ = s.conn.Exit(s.clientID)
		}
		s.clientID = q.ClientID
	case "exit":
		if s.conn.Exit(s.clientID) != nil {
			s.send(errorJSON("exit: you have not entered"))
		}
		s.clientID = ""
	case "say":
		if s.clientID == "" {
			s.send(errorJSON("say: enter before you say anything"))
			break
		}
		s.room.say(messageJSON(s.clientID, q.Text))
	}
	return nil
}

// send puts a message in the outbox. A client that lets the outbox fill up has missed
// part of the talk whatever is done, and an end that says so is better than a gap.
func (s *session) send(message []byte) {
	select {
	case s.outbox <- message:
	default:
		s.end(errSlow)
	}
}

// write is the only one that sends to the client, until it has said goodbye.
func (s *session) write(alive context.Context) {
	for {
		var data []byte
		select {
		case <-s.ctx.Done():
			sayGoodbye(s.ws, context.Cause(s.ctx))
			return
		case e, ok := <-s.events:
			if !ok { // the engine is closed, or the session has left
				s.end(errAway)
				s.events = nil
				continue
			}
			data = marshal(e)
		case data = <-s.outbox:
		}
		ctx, cancel := context.WithTimeout(alive, s.limits.writeWait)
		err := s.ws.Write(ctx, websocket.MessageText, data)
		cancel()
		if err != nil {
			s.end(errSlow)
		}
	}
}

// ping finds the client that is gone without a word: no packet tells of it, and a
// server that has nothing to say would count it for ever.
func (s *session) ping(alive context.Context) {
	tick := time.NewTicker(s.limits.pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(alive, s.limits.pongWait)
		err := s.ws.Ping(ctx)
		cancel()
		if err != nil {
			s.end(errSilent)
			return
		}
	}
}

// sayGoodbye closes the websocket, and waits for the client's answer. Nothing can be
// done about an error: the client is gone already.
func sayGoodbye(ws *websocket.Conn, why error) {
	var e websocket.CloseError
	if errors.As(why, &e) {
		_ = ws.Close(e.Code, e.Reason)
	}
}
