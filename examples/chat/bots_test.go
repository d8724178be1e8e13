package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/occupancytest"
)

// runCrowd runs ten bots until the end of the test, and then waits until none is counted any more.
func runCrowd(t *testing.T, s *testServer) *crowd {
	ctx, cancel := context.WithCancel(context.Background())
	c := newCrowd(ctx, 10, s.addr, nil)
	var wg sync.WaitGroup
	wg.Go(c.run)
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		occupancytest.WaitEmpty(t, s.engine)
	})
	return c
}

func TestCrowd_RaidFillsOneRoom(t *testing.T) {
	s := start(t, longTimeouts)
	c := runCrowd(t, s)
	c.play(scene{raid, "raided"})
	s.waitUntil(func() bool {
		all := s.engine.Stats().Total.Connections
		return all >= 5 && s.engine.Current("raided").Connections == all
	})
}

// A bot whose connection breaks stays counted, and is counted once after it has returned.
func TestCrowd_BrokenNetworkIsNotVisible(t *testing.T) {
	l := longTimeouts
	l.reconnectWait = defaultLimits.reconnectWait
	s := start(t, l)
	c := runCrowd(t, s)
	c.play(scene{name: network})
	s.waitUntil(func() bool {
		stats := s.engine.Stats()
		return stats.Lingering > 0 && stats.Total.Connections == c.size && stats.Total.PresenceMembers == c.size
	})
}

func TestCrowd_SceneEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t.Context(), 3, "", nil)
		c.play(scene{raid, "lobby"})
		_, ctx := c.current()
		time.Sleep(sceneTime - time.Second)
		_, scenes := c.state()
		require.Equal(t, []sceneStatus{{raid, true}, {network, false}}, scenes)
		c.play(scene{name: network})
		require.Error(t, ctx.Err()) // the bots leave the raided room
		time.Sleep(sceneTime + time.Second)
		bots, scenes := c.state()
		require.Equal(t, 3, bots)
		require.Equal(t, []sceneStatus{{raid, false}, {network, false}}, scenes)
		_, ctx = c.current()
		require.NoError(t, ctx.Err())
	})
}

func TestScene_StatusCodes(t *testing.T) {
	s := newServer(longTimeouts)
	post := func(path, site string) int {
		r := httptest.NewRequest(http.MethodPost, path, nil)
		r.Header.Set("Sec-Fetch-Site", site)
		w := httptest.NewRecorder()
		s.routes().ServeHTTP(w, r)
		return w.Code
	}
	require.Equal(t, http.StatusNotFound, post("/scene?name=raid", "same-origin"), "without bots")
	s.crowd = newCrowd(t.Context(), 1, "", nil)
	require.Equal(t, http.StatusNotFound, post("/scene?name=party", "same-origin"))
	require.Equal(t, http.StatusNotFound, post("/scene?name=node", "same-origin"), "without a second node")
	require.Equal(t, http.StatusForbidden, post("/scene?name=raid", "cross-site"))
	_, scenes := s.crowd.state()
	require.Equal(t, []sceneStatus{{raid, false}, {network, false}}, scenes)
	require.Equal(t, http.StatusNoContent, post("/scene?name=raid", "same-origin"))
	_, scenes = s.crowd.state()
	require.Equal(t, []sceneStatus{{raid, true}, {network, false}}, scenes)
}
