package occupancyprom_test

import (
	"bufio"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancyhttp"
	"github.com/occupancy/occupancy/occupancyprom"
)

func TestHTTPCollector_ExportsStats(t *testing.T) {
	e := occupancy.New()
	t.Cleanup(func() { _ = e.Close() })
	h := occupancyhttp.NewHandler(e, occupancyhttp.WithMaxStreams(2), occupancyhttp.WithAuthorize(func(_ *http.Request, room string) error {
		if room == "secret" {
			return errors.New("no access")
		}
		return nil
	}))
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	open := func(query string) *http.Response {
		t.Helper()
		response, err := http.Get(server.URL + "/events?" + query)
		must(t, err)
		t.Cleanup(func() { _ = response.Body.Close() })
		return response
	}
	open("room=secret")
	for _, query := range []string{"room=a", "room=a&room=b"} {
		_, err := bufio.NewReader(open(query).Body).ReadString('\n')
		must(t, err)
	}
	for range 3 {
		open("room=a")
	}

	got := values(scrape(t, occupancyprom.NewHTTPCollector(h)))
	want := map[string]float64{
		"occupancy_http_streams":                                  2,
		"occupancy_http_rooms":                                    2,
		"occupancy_http_streams_opened_total":                     2,
		"occupancy_http_streams_too_slow_total":                   0,
		"occupancy_http_streams_refused_total{code=forbidden}":    1,
		"occupancy_http_streams_refused_total{code=stream_limit}": 3,
		"occupancy_http_streams_refused_total{code=client_limit}": 0,
	}
	if !maps.Equal(got, want) {
		t.Fatalf("\n got %v\nwant %v", got, want)
	}
}
