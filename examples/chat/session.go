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
// goroutine of the HTTP handler, write and ping. Any failure calls end: then the session
// leaves its room, write sends a close frame, and read returns.
type session struct {
	limits limits
	ws     *websocket.Conn
	lease  *occupancy.Lease
	events <-chan occupancy.Event // holds only the newest event
	outbox chan []byte            // holds every message, so it is bounded
	room   *room

	ctx      context.Context // its cause is a websocket.CloseError
	end      context.CancelCauseFunc
	clientID string // the ID that has entered, or ""; only read uses it
}

// session serves an accepted websocket until it is closed.
func (s *server) session(ws *websocket.Conn, name string) {
	lease, err := s.engine.Connect(name)
	if err != nil {
		closeWith(ws, engineCloseError(err))
		return
	}
	defer lease.Close()
	sub, err := s.engine.Subscribe(name)
	if err != nil {
		closeWith(ws, engineCloseError(err))
		return
	}

	ctx, end := context.WithCancelCause(s.ctx)
	c := &session{
		limits: s.limits, ws: ws, lease: lease, events: sub.Events(),
		outbox: make(chan []byte, s.limits.outbox), ctx: ctx, end: end,
	}
	c.room = s.hub.join(name, c)
	leave := func() {
		s.hub.leave(name, c.room, c)
		sub.Unsubscribe()
		_ = lease.Close()
	}
	defer leave()

	// Canceling the context of a websocket operation drops the connection without a close
	// frame. So these operations use wsCtx, which outlives ctx until the client has
	// answered the close frame, or closeWait is over.
	wsCtx, drop := context.WithCancel(context.Background())
	defer drop()
	defer context.AfterFunc(ctx, func() {
		leave() // now, because closing the websocket may take a while
		time.AfterFunc(s.limits.closeWait, drop)
	})()

	var running sync.WaitGroup
	running.Go(func() { c.write(wsCtx) })
	running.Go(func() { c.ping(wsCtx) })
	c.read(wsCtx)
	end(errClientLeft)
	running.Wait()
}

// read handles requests until the websocket is closed. After the session has ended it
// reads on, for the client's answer to the close frame.
func (s *session) read(wsCtx context.Context) {
	s.ws.SetReadLimit(maxMessage)
	for {
		kind, data, err := s.ws.Read(wsCtx)
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

// handle executes a request. An error is a websocket.CloseError that ends the session.
func (s *session) handle(q request) error {
	switch q.Type {
	case "enter":
		if err := s.lease.Enter(q.ClientID); err != nil {
			return engineCloseError(err)
		}
		if s.clientID != "" && s.clientID != q.ClientID {
			_ = s.lease.Exit(s.clientID)
		}
		s.clientID = q.ClientID
	case "exit":
		if s.lease.Exit(s.clientID) != nil {
			s.send(errorJSON("exit: you have not entered"))
		}
		s.clientID = ""
	case "say":
		if s.clientID == "" {
			s.send(errorJSON("say: enter before you send messages"))
			break
		}
		s.room.broadcast(messageJSON(s.clientID, q.Text))
	}
	return nil
}

// send puts a message in the outbox. If the outbox is full it ends the session, because
// the client would miss a message without knowing.
func (s *session) send(message []byte) {
	select {
	case s.outbox <- message:
	default:
		s.end(errSlow)
	}
}

// write sends events and messages to the client, and finally the close frame. No other
// goroutine writes to the websocket.
func (s *session) write(wsCtx context.Context) {
	for {
		var data []byte
		select {
		case <-s.ctx.Done():
			closeWith(s.ws, context.Cause(s.ctx))
			return
		case e, ok := <-s.events:
			if !ok { // the engine is closed, or the session has left the room
				s.end(errStopping)
				s.events = nil
				continue
			}
			data = marshal(e)
		case data = <-s.outbox:
		}
		ctx, cancel := context.WithTimeout(wsCtx, s.limits.writeWait)
		err := s.ws.Write(ctx, websocket.MessageText, data)
		cancel()
		if err != nil {
			s.end(errSlow)
		}
	}
}

// ping pings the client and ends the session if no answer arrives in time. Without pings
// a client that disappears without closing its connection would be counted forever.
func (s *session) ping(wsCtx context.Context) {
	tick := time.NewTicker(s.limits.pingEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		ctx, cancel := context.WithTimeout(wsCtx, s.limits.pongWait)
		err := s.ws.Ping(ctx)
		cancel()
		if err != nil {
			s.end(errNoPong)
			return
		}
	}
}

// closeWith sends a close frame and waits for the client's answer. It ignores errors,
// because then the connection is closed already.
func closeWith(ws *websocket.Conn, reason error) {
	var e websocket.CloseError
	if errors.As(reason, &e) {
		_ = ws.Close(e.Code, e.Reason)
	}
}
