package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/occupancy/occupancy"
)

// session is one websocket in one room. A session has three goroutines: readLoop, writeLoop
// and pingLoop. If an operation fails, the goroutine calls end. Then the session leaves the
// room, writeLoop sends a close frame, and readLoop returns.
type session struct {
	limits limits
	ws     *websocket.Conn
	lease  *occupancy.Lease
	events <-chan occupancy.Event // holds only the newest event
	outbox chan []byte            // chat messages; the session ends if the outbox is full
	room   *room

	ctx      context.Context // done when the session has ended; the cause is a websocket.CloseError
	end      context.CancelCauseFunc
	clientID string // with which the client has entered, or ""; only readLoop uses this field
}

// serveSession runs a session until the websocket is closed.
func (s *server) serveSession(ws *websocket.Conn, name string) {
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
		outbox: make(chan []byte, s.limits.outboxSize), ctx: ctx, end: end,
	}
	c.room = s.hub.join(name, c)
	leave := func() {
		s.hub.leave(name, c.room, c)
		sub.Unsubscribe()
		_ = lease.Close()
	}
	defer leave()

	// If the context of a websocket operation is canceled, the connection is closed without a
	// close frame. So the operations use wsCtx, which is canceled closeWait after the end of
	// the session. Until then the client can answer the close frame.
	wsCtx, drop := context.WithCancel(context.Background())
	defer drop()
	defer context.AfterFunc(ctx, func() {
		leave() // immediately, because closing the websocket can take closeWait
		time.AfterFunc(s.limits.closeWait, drop)
	})()

	var wg sync.WaitGroup
	wg.Go(func() { c.writeLoop(wsCtx) })
	wg.Go(func() { c.pingLoop(wsCtx) })
	c.readLoop(wsCtx)
	end(errClientLeft)
	wg.Wait()
}

// readLoop handles requests until the websocket is closed. After the end of the session it
// only waits for the client's answer to the close frame.
func (s *session) readLoop(wsCtx context.Context) {
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

// handle executes a request. The session ends with the returned error, which is a
// websocket.CloseError.
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

// send adds a message to the outbox. If the outbox is full, send ends the session instead of
// dropping the message.
func (s *session) send(message []byte) {
	select {
	case s.outbox <- message:
	default:
		s.end(errSlow)
	}
}

// writeLoop sends events and chat messages to the client, and the close frame at the end of
// the session.
func (s *session) writeLoop(wsCtx context.Context) {
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

// pingLoop pings the client and ends the session if the client does not answer within
// pongWait. Without pings, a client that loses its network would stay counted.
func (s *session) pingLoop(wsCtx context.Context) {
	tick := time.NewTicker(s.limits.pingPeriod)
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

// closeWith sends a close frame and waits for the client's answer. An error means that the
// connection is closed already, so closeWith ignores errors.
func closeWith(ws *websocket.Conn, reason error) {
	var e websocket.CloseError
	if errors.As(reason, &e) {
		_ = ws.Close(e.Code, e.Reason)
	}
}
