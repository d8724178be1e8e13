package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/occupancy/occupancy"
)

// session is one websocket in one room. A session has three goroutines: readLoop, writeLoop
// and pingLoop. If the session must end, the goroutine calls end. Then the session leaves the
// room or lingers, writeLoop sends a close frame, and readLoop returns.
type session struct {
	limits limits
	ws     *websocket.Conn
	lease  *occupancy.Lease
	events <-chan occupancy.Event // holds only the newest event
	outbox chan []byte            // chat messages; the session ends if the outbox is full
	room   *room
	node   *clusterNode // nil without a cluster

	ctx      context.Context // done when the session has ended; the cause is a websocket.CloseError
	end      context.CancelCauseFunc
	clientID atomic.Value // string: with which the client has entered, or ""; only handle stores it
}

// serveSession runs a session until the websocket is closed. If clientID is not empty, the
// client enters when it connects, in one step.
func (s *server) serveSession(ws *websocket.Conn, name, clientID string) {
	var options []occupancy.ConnectOption
	if clientID != "" {
		options = append(options, occupancy.As(clientID))
	}
	lease, err := s.engine.Connect(name, options...)
	if err != nil {
		closeWith(ws, engineCloseError(err))
		return
	}
	sub, err := s.engine.Subscribe(name)
	if err != nil {
		_ = lease.Close()
		closeWith(ws, engineCloseError(err))
		return
	}

	ctx, end := context.WithCancelCause(s.ctx)
	c := &session{
		limits: s.limits, ws: ws, lease: lease, events: sub.Events(),
		outbox: make(chan []byte, s.limits.outboxSize), node: s.node, ctx: ctx, end: end,
	}
	c.clientID.Store(clientID)
	c.room = s.hub.join(name, c)
	leave := sync.OnceFunc(func() {
		s.hub.leave(name, c.room, c)
		sub.Unsubscribe()
		if c.clientID.Load() == "" {
			_ = lease.Close() // a client without an ID could not take over a lease that lingers
			return
		}
		lease.Linger(s.limits.linger(context.Cause(ctx)))
	})
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
	end(endOf(c.readLoop(wsCtx)))
	wg.Wait()
}

// linger returns how long a client remains counted after its session has ended for this
// reason. If the client reconnects before that, the other clients do not see that it was gone.
//
// A browser closes the websocket with the code 1001, "going away", both when the user reloads
// the page and when the user closes the tab. Neither the page nor the server can tell the
// two apart. So the client remains counted for reloadWait, in which a reloaded page connects
// again: then the reload is invisible, and the others see soon that a tab was closed. If the
// network breaks, no close frame arrives, and the page needs longer to connect again. Every
// other close code is final: the page sends 1000 when the user opens another room.
func (l limits) linger(reason error) time.Duration {
	switch {
	case errors.Is(reason, errGoingAway):
		return l.reloadWait
	case errors.Is(reason, errBroken), errors.Is(reason, errNoPong):
		return l.reconnectWait
	}
	return 0
}

// readLoop handles requests until the websocket is closed. After the end of the session it
// only waits for the client's answer to the close frame. readLoop returns the error of the
// websocket.
func (s *session) readLoop(wsCtx context.Context) error {
	s.ws.SetReadLimit(maxMessage)
	for {
		kind, data, err := s.ws.Read(wsCtx)
		if err != nil {
			return err
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
	clientID := s.clientID.Load().(string)
	switch q.Type {
	case "enter":
		if err := s.lease.Enter(q.ClientID); err != nil {
			return engineCloseError(err)
		}
		if clientID != "" && clientID != q.ClientID {
			_ = s.lease.Exit(clientID)
		}
		s.clientID.Store(q.ClientID)
	case "exit":
		if s.lease.Exit(clientID) != nil {
			s.send(errorJSON("exit: you have not entered"))
		}
		s.clientID.Store("")
	case "say":
		if clientID == "" {
			s.send(errorJSON("say: enter before you send messages"))
			break
		}
		message := messageJSON(clientID, q.Text)
		s.room.broadcast(message)
		s.node.send(s.lease.Room(), message)
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
			data = marshal(updateMessage{e, s.node.connectionsByNode(s.lease.Room())})
		case data = <-s.outbox:
		}
		ctx, cancel := context.WithTimeout(wsCtx, s.limits.writeWait)
		err := s.ws.Write(ctx, websocket.MessageText, data)
		cancel()
		if err != nil {
			<-s.ctx.Done() // the connection is closed; readLoop returns, and knows whether there was a close frame
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
		if errors.Is(err, context.DeadlineExceeded) {
			s.end(errNoPong)
		}
		if err != nil {
			return // if the connection is closed, readLoop returns too
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
