package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/occupancy/occupancy/trending"
)

const (
	defaultListed = 20
	maxListed     = 100
)

// The page asks for its lists anew every other second: a stream of them would be a second
// one beside that of the numbers, and a browser allows six to a server, of all its tabs.

// serveRooms answers GET /rooms?by=popular|trending&limit=20 with the first rooms in that
// order. Both parameters may be left out.
func (s *server) serveRooms(w http.ResponseWriter, r *http.Request) {
	by, limit, err := roomsQuery(r.URL.RawQuery)
	if err != nil {
		serveJSON(w, http.StatusBadRequest, marshal(map[string]string{"error": err.Error()}))
		return
	}
	serveJSON(w, http.StatusOK, marshal(map[string]any{"by": by.String(), "rooms": s.board.Top(by, limit)}))
}

// roomsQuery refuses what it does not know, so that a misspelt parameter is noticed.
func roomsQuery(raw string) (by trending.Order, limit int, err error) {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return 0, 0, err
	}
	limit = defaultListed
	for name, values := range query {
		if len(values) != 1 {
			return 0, 0, fmt.Errorf("%q is given %d times", name, len(values))
		}
		switch name {
		case "by":
			by, err = trending.ParseOrder(values[0])
		case "limit":
			limit, err = strconv.Atoi(values[0])
			if err != nil || limit < 1 || limit > maxListed {
				err = fmt.Errorf("limit is %q, and may be 1 to %d", values[0], maxListed)
			}
		default:
			err = fmt.Errorf("there is no parameter %q", name)
		}
		if err != nil {
			return 0, 0, err
		}
	}
	return by, limit, nil
}
