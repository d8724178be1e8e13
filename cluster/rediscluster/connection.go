package rediscluster

import (
	"context"
	"time"

	"github.com/redis/rueidis"
)

// connection is the connection of a Bus. Published messages wait in its queue. Messages that wait
// are sent together, so that a distant server does not limit the number of messages per second.
type connection struct {
	rueidis.DedicatedClient
	ctx   context.Context // done when the connection ends
	end   context.CancelFunc
	queue chan rueidis.Completed
	sent  chan struct{} // closed when send has returned
}

const queueSize = 64

func newConnection(ctx context.Context, client rueidis.DedicatedClient) *connection {
	c := &connection{
		DedicatedClient: client,
		queue:           make(chan rueidis.Completed, queueSize),
		sent:            make(chan struct{}),
	}
	c.ctx, c.end = context.WithCancel(ctx)
	return c
}

// close ends the connection. If flush is true, it first sends the messages of the queue.
func (c *connection) close(flush bool) {
	c.end()
	if flush {
		select {
		case <-c.sent:
		case <-time.After(answerTimeout):
		}
	}
	c.Close() // waits up to 1 s for a silent server
	<-c.sent
}

// send sends the messages of the queue until the connection has ended and the queue is empty. It
// calls report with the error of each message.
func (c *connection) send(report func(error)) {
	defer close(c.sent)
	for {
		var batch rueidis.Commands
		select {
		case m := <-c.queue:
			batch = append(batch, m)
		case <-c.ctx.Done():
		}
		// A larger batch would delay the check whether the server answers.
		for size := 0; size < maxPayload && len(c.queue) > 0; {
			m := <-c.queue
			batch, size = append(batch, m), size+len(m.Commands()[2])
		}
		if len(batch) == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), answerTimeout)
		for _, answer := range c.DoMulti(ctx, batch...) {
			report(answer.Error())
		}
		cancel()
	}
}
