package main

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/trending"
)

func names(rooms []trending.Room) (names []string) {
	for _, r := range rooms {
		names = append(names, r.Name)
	}
	return names
}

func TestRooms_PopularAndTrending(t *testing.T) {
	s := start(t, longTimeouts)
	emptied := s.dial("emptied")
	s.waitOccupancy("emptied", 1, 0)
	require.NoError(t, emptied.CloseNow())
	s.waitOccupancy("emptied", 0, 0)
	for _, room := range []string{"big", "big", "big", "small", "small"} {
		s.dial(room)
	}
	s.waitUntil(func() bool {
		top := s.board.Popular(3)
		return len(top) == 2 && top[0].Occupancy.Connections == 3 && top[1].Occupancy.Connections == 2 &&
			len(s.board.Trending(3)) == 2
	})
	for query, want := range map[string]struct {
		by    string
		names []string
	}{
		"":                     {"popular", []string{"big", "small"}},
		"?by=popular&limit=20": {"popular", []string{"big", "small"}},
		"?limit=1":             {"popular", []string{"big"}},
		"?by=trending":         {"trending", []string{"big", "small"}},
	} {
		code, body := s.get("/rooms" + query)
		require.Equal(t, http.StatusOK, code, query)
		var got struct {
			By    string
			Rooms []trending.Room
		}
		require.NoError(t, json.Unmarshal([]byte(body), &got), body)
		require.Equal(t, want.by, got.By, query)
		require.Equal(t, want.names, names(got.Rooms), query)
		require.Equal(t, want.names[0] == "big", got.Rooms[0].Occupancy.Connections == 3)
		require.Positive(t, got.Rooms[0].Arrivals)
	}
	for query, message := range map[string]string{
		"by=largest":           `\"largest\"`,
		"by=":                  `\"\"`,
		"limit=0":              `limit is \"0\", must be 1 to 100`,
		"limit=101":            `limit is \"101\"`,
		"limit=-1":             `limit is \"-1\"`,
		"limit=ten":            `limit is \"ten\"`,
		"limit=":               `limit is \"\"`,
		"limit=5&limit=5":      `\"limit\" is given 2 times`,
		"by=popular&order=asc": `unknown parameter \"order\"`,
		"by=%zz":               `invalid URL escape`,
	} {
		code, body := s.get("/rooms?" + query)
		require.Equal(t, http.StatusBadRequest, code, query)
		require.Contains(t, body, message, query)
	}
}

func TestRooms_EmptyListWithoutConnections(t *testing.T) {
	s := start(t, longTimeouts)
	code, body := s.get("/rooms")
	require.Equal(t, http.StatusOK, code)
	require.JSONEq(t, `{"by":"popular","rooms":[]}`, body)
}
