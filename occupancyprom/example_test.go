package occupancyprom_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancyhttp"
	"github.com/occupancy/occupancy/occupancyprom"
	"github.com/occupancy/occupancy/trending"
)

func ExampleNewCollector() {
	engine := occupancy.New()
	defer engine.Close()
	registry := prometheus.NewRegistry()
	registry.MustRegister(occupancyprom.NewCollector(engine))
	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	defer server.Close()

	_ = engine.Join("lobby")
	_ = engine.Leave("nowhere") // returns ErrNotJoined
	show(server.URL, "occupancy_connections ", `error="not_joined"`)
	// Output:
	// occupancy_connections 1
	// occupancy_hooks_refused_total{error="not_joined"} 1
}

func ExampleWithTopRooms() {
	engine := occupancy.New()
	defer engine.Close()
	_ = engine.Join("lobby")
	board := trending.New(engine)
	defer func() { _ = board.Close() }()
	registry := prometheus.NewRegistry()
	registry.MustRegister(occupancyprom.NewCollector(engine, occupancyprom.WithTopRooms(20, board)))
	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	defer server.Close()

	show(server.URL, "occupancy_room_")
	// Output:
	// occupancy_room_connections{room="lobby"} 1
	// occupancy_room_presence_members{room="lobby"} 0
	// occupancy_room_users{room="lobby"} 0
}

func ExampleNewHTTPCollector() {
	engine := occupancy.New()
	defer engine.Close()
	handler := occupancyhttp.NewHandler(engine, occupancyhttp.WithMaxStreams(1000))
	registry := prometheus.NewRegistry()
	registry.MustRegister(occupancyprom.NewHTTPCollector(handler))
	server := httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	defer server.Close()

	show(server.URL, "occupancy_http_streams ", "stream_limit")
	// Output:
	// occupancy_http_streams 0
	// occupancy_http_streams_refused_total{code="stream_limit"} 0
}

// show scrapes url and prints the samples that contain one of the parts.
func show(url string, parts ...string) {
	response, err := http.Get(url)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	for line := range strings.Lines(string(body)) {
		for _, part := range parts {
			if !strings.HasPrefix(line, "#") && strings.Contains(line, part) {
				fmt.Print(line)
			}
		}
	}
}
