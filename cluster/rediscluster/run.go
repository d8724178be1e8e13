package rediscluster

import (
	"cmp"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

const (
	reconnectWait = 250 * time.Millisecond
	checkInterval = time.Second
	answerTimeout = 2500 * time.Millisecond // the Bus is disconnected if Redis does not answer within this time
)

// run connects again and again until the Bus is closed.
func (b *Bus) run(option rueidis.ClientOption) {
	defer close(b.closed)
	defer b.state.Close()
	owned := b.client.Load() == nil // connect will create the client
	for b.ctx.Err() == nil {
		err := b.connect(option)
		b.disconnect()
		b.state.LogError("Redis error", explain(err))
		b.report(err)
		select {
		case <-time.After(reconnectWait + rand.N(reconnectWait)):
		case <-b.ctx.Done():
		}
	}
	if client := b.Client(); owned && client != nil {
		client.Close()
	}
}

// report reports the result of an attempt to connect to Connect. It replaces an unread result.
func (b *Bus) report(err error) {
	select {
	case <-b.results:
	default:
	}
	b.results <- result{err}
}

// connect uses one connection until it fails. It returns nil if the Bus is closed.
func (b *Bus) connect(option rueidis.ClientOption) error {
	if b.client.Load() == nil {
		client, err := rueidis.NewClient(option)
		if err != nil {
			return err
		}
		b.client.Store(&client)
	}
	client, release := b.Client().Dedicate()
	defer release()
	lost := client.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: b.deliver})
	c := newConnection(b.ctx, client)
	go c.send(b.logAnswer)
	defer func() {
		b.disconnect() // first, because close waits for a silent server
		c.close(b.ctx.Err() != nil)
	}()
	if err := b.use(c); err != nil {
		return err
	}
	for {
		err := b.do(b.ctx, func(build rueidis.Builder) rueidis.Completed { return build.Ping().Build() })
		if err != nil {
			return err
		}
		b.state.SetConnected(strings.Join(slices.Sorted(maps.Keys(b.Client().Nodes())), ","))
		b.report(nil)
		select {
		case <-time.After(checkInterval):
		case err := <-lost:
			return cmp.Or(err, io.EOF)
		case <-b.ctx.Done():
			return nil
		}
	}
}

// use makes c the connection of the Bus and subscribes to all channels.
func (b *Bus) use(c *connection) error {
	b.changing.Lock()
	defer b.changing.Unlock()
	b.conn.Store(c)
	b.mu.Lock()
	channels := slices.Collect(maps.Keys(b.subs))
	b.mu.Unlock()
	if len(channels) == 0 {
		return nil
	}
	return b.subscribe(b.ctx, channels)
}

func (b *Bus) disconnect() {
	b.conn.Store(nil)
	b.state.SetDisconnected()
}
