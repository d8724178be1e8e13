package occupancyhttp

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/occupancy/occupancy/trending"
)

// Limits of one request.
const (
	maxRooms     = 256
	maxLists     = 8
	maxLimit     = 100 // rooms of a list
	defaultLimit = 10
)

// selection contains the rooms and the lists of a request.
type selection struct {
	rooms   []string
	refused []refusal // rooms that the request may not read
	lists   []listKey
}

// listKey identifies a list.
type listKey struct {
	by    trending.Order
	limit int
}

// parse returns the rooms and the lists in the query of a request. There is at least one.
// A room that is given twice counts once. The first limit belongs to the first list, and so on.
func (h *Handler) parse(r *http.Request) (s selection, err error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	rooms, orders, limits := query["room"], query["by"], query["limit"]
	switch {
	case err != nil:
		return s, errBadQuery
	case len(rooms)+len(orders) == 0:
		return s, errNoRoom
	case len(rooms) > maxRooms:
		return s, errTooManyRooms
	case len(orders) > 0 && h.board == nil:
		return s, errNoLists
	case len(orders) > maxLists:
		return s, errTooManyLists
	}
	for _, room := range rooms {
		if !slices.Contains(s.rooms, room) {
			s.rooms = append(s.rooms, room)
		}
	}
	for i, order := range orders {
		key := listKey{limit: defaultLimit}
		if key.by, err = trending.ParseOrder(order); err != nil {
			return s, errBadOrder
		}
		if i < len(limits) {
			if key.limit, err = strconv.Atoi(limits[i]); err != nil || key.limit < 1 || key.limit > maxLimit {
				return s, errBadLimit
			}
		}
		s.lists = append(s.lists, key)
	}
	return s, nil
}
