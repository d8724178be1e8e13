package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/occupancy/occupancy/trending"
)

const (
	defaultLimit = 20
	maxLimit     = 100
)

// serveRooms responds to GET /rooms?by=popular&limit=20 with the 20 most popular rooms. With
// by=trending it responds with the trending rooms. Both parameters are optional.
//
// The page fetches these lists every two seconds and does not receive them as a stream. It
// already has a stream for the counts, and over HTTP/1.1 a browser opens at most six
// connections to a server.
func (s *server) serveRooms(w http.ResponseWriter, r *http.Request) {
	by, limit, err := parseRoomsQuery(r.URL.RawQuery)
	if err != nil {
		serveJSON(w, http.StatusBadRequest, marshal(map[string]string{"error": err.Error()}))
		return
	}
	serveJSON(w, http.StatusOK, marshal(map[string]any{"by": by.String(), "rooms": s.board.Top(by, limit)}))
}

// totals is the response to GET /totals.
type totals struct {
	Rooms           int    `json:"rooms"` // that are not empty
	Connections     int    `json:"connections"`
	PresenceMembers int    `json:"presenceMembers"`
	Events          uint64 `json:"events"` // that this server has published since its start
	Bots            int    `json:"bots"`
	Scene           string `json:"scene,omitempty"` // of the bots
}

func (s *server) serveTotals(w http.ResponseWriter, _ *http.Request) {
	stats := s.engine.Stats()
	bots, scene := s.crowd.state()
	serveJSON(w, http.StatusOK, marshal(totals{
		s.board.Len(), stats.Total.Connections, stats.Total.PresenceMembers, stats.Published, bots, scene,
	}))
}

// parseRoomsQuery returns an error for unknown parameters, so that users notice misspelled names.
func parseRoomsQuery(raw string) (by trending.Order, limit int, err error) {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return 0, 0, err
	}
	limit = defaultLimit
	for name, values := range query {
		if len(values) != 1 {
			return 0, 0, fmt.Errorf("parameter %q is given %d times", name, len(values))
		}
		switch name {
		case "by":
			by, err = trending.ParseOrder(values[0])
		case "limit":
			limit, err = strconv.Atoi(values[0])
			if err != nil || limit < 1 || limit > maxLimit {
				err = fmt.Errorf("limit is %q, must be 1 to %d", values[0], maxLimit)
			}
		default:
			err = fmt.Errorf("unknown parameter %q", name)
		}
		if err != nil {
			return 0, 0, err
		}
	}
	return by, limit, nil
}
