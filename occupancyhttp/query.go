package occupancyhttp

import (
	"net/http"
	"net/url"
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
func (h *Handler) parse(r *http.Request) (s selection, err error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return s, errBadQuery
	}
	if s.rooms, err = parseRooms(query["room"]); err != nil {
		return s, err
	}
	if query.Has("by") {
		if h.board == nil {
			return s, errNoLists
		}
		if s.lists, err = parseLists(query); err != nil {
			return s, err
		}
	}
	if s.rooms == nil && s.lists == nil {
		return s, errNoRoom
	}
	return s, nil
}

// parseRooms returns the names without duplicates.
func parseRooms(names []string) ([]string, error) {
	var rooms []string
	seen := map[string]struct{}{}
	for _, room := range names {
		if _, duplicate := seen[room]; duplicate {
			continue
		}
		if len(rooms) == maxRooms {
			return nil, errTooManyRooms
		}
		seen[room] = struct{}{}
		rooms = append(rooms, room)
	}
	return rooms, nil
}

// parseListEvents returns the lists in the query of a stream of lists.
func parseListEvents(r *http.Request) (s selection, err error) {
	s.lists, err = parseLists(r.URL.Query())
	return s, err
}

// parseLists returns the lists of a query. The first limit belongs to the first order, and
// so on. A query without an order has the list of the popular rooms.
func parseLists(query url.Values) ([]listKey, error) {
	orders, limits := query["by"], query["limit"]
	if len(orders) == 0 {
		orders = []string{trending.Popular.String()}
	}
	if len(orders) > maxLists {
		return nil, errTooManyLists
	}
	lists := make([]listKey, len(orders))
	for i, name := range orders {
		by, err := trending.ParseOrder(name)
		if err != nil {
			return nil, errBadOrder
		}
		limit := defaultLimit
		if i < len(limits) {
			if limit, err = strconv.Atoi(limits[i]); err != nil || limit < 1 || limit > maxLimit {
				return nil, errBadLimit
			}
		}
		lists[i] = listKey{by, limit}
	}
	return lists, nil
}
