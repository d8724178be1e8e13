package occupancyprom_test

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/occupancyhttp"
	"github.com/occupancy/occupancy/occupancyprom"
	"github.com/occupancy/occupancy/trending"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// scrape scrapes the collector over HTTP and parses the response as Prometheus does.
func scrape(t testing.TB, c prometheus.Collector) map[string]*dto.MetricFamily {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	must(t, registry.Register(c))
	response := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(response, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if response.Code != 200 {
		t.Fatalf("%d: %s", response.Code, response.Body)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(response.Body)
	must(t, err)
	return families
}

// values returns the samples by name and labels.
func values(families map[string]*dto.MetricFamily) map[string]float64 {
	values := map[string]float64{}
	for name, f := range families {
		for _, m := range f.Metric {
			key := name
			for _, l := range m.Label {
				key += "{" + l.GetName() + "=" + l.GetValue() + "}"
			}
			switch {
			case m.Histogram != nil:
				values[key+"_sum"] = m.Histogram.GetSampleSum()
				values[key+"_count"] = float64(m.Histogram.GetSampleCount())
				for _, b := range m.Histogram.Bucket {
					values[fmt.Sprintf("%s_bucket{le=%v}", key, b.GetUpperBound())] = float64(b.GetCumulativeCount())
				}
			case m.Summary != nil:
				values[key+"_sum"] = m.Summary.GetSampleSum()
				values[key+"_count"] = float64(m.Summary.GetSampleCount())
			case m.Counter != nil:
				values[key] = m.Counter.GetValue()
			default:
				values[key] = m.Gauge.GetValue()
			}
		}
	}
	return values
}

// wantRefused calls the hook n times and fails unless every call returns the error want.
func wantRefused(t testing.TB, want error, n int, hook func(string) error, room string) {
	t.Helper()
	for range n {
		if err := hook(room); !errors.Is(err, want) {
			t.Fatal(err)
		}
	}
}

// newBusyEngine returns an engine whose Stats are not zero, except for Refused.Count. A
// second node is linked, so the totals of the service differ from those of this process.
func newBusyEngine(t testing.TB) *occupancy.Engine {
	t.Helper()
	e := occupancy.New(occupancy.WithInterval(time.Millisecond), occupancy.WithMaxRooms(50), occupancy.WithUsers())
	t.Cleanup(func() { _ = e.Close() })
	for i := range 11 {
		must(t, e.Join("room"))
		must(t, e.Join(strings.Repeat("x", 1+i)))
	}
	for i := range 7 {
		must(t, e.Enter("room", []string{"alice", "bob"}[i%2]))
	}
	for range 3 {
		_, err := e.Subscribe("room")
		must(t, err)
	}
	for range 2 {
		w, err := e.Watch()
		must(t, err)
		t.Cleanup(func() { must(t, w.Close()) })
	}
	link, err := e.Link(nil)
	must(t, err)
	must(t, link.Remote("other node").Set(occupancy.Part{Room: "remote", Occupancy: occupancy.Occupancy{Connections: 100, PresenceMembers: 50, Users: 40}}))
	must(t, e.Join("watched"))
	must(t, e.Join("watched"))
	for deadline := time.Now().Add(time.Minute); e.Stats().Arrivals < 24; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the second Join is not published after a minute")
		}
	}
	must(t, e.Leave("watched"))
	wantRefused(t, occupancy.ErrInvalidRoom, 1, e.Join, "")
	wantRefused(t, occupancy.ErrNotJoined, 2, e.Leave, "nowhere")
	wantRefused(t, occupancy.ErrNotEntered, 3, func(room string) error { return e.Exit(room, "alice") }, "nowhere")
	lease, err := e.Connect("room")
	must(t, err)
	wantRefused(t, occupancy.ErrInvalidClientID, 4, lease.Enter, "")
	must(t, lease.Close())
	wantRefused(t, occupancy.ErrClosed, 5, lease.Enter, "alice")
	lingering, err := e.Connect("room", occupancy.As("alice"))
	must(t, err)
	lingering.Linger(time.Hour)
	wantRefused(t, occupancy.ErrRoomFull, 7, func(room string) error {
		_, err := e.Connect(room, occupancy.Max(12))
		return err
	}, "room")
	full := false
	for i := 1; !full; i++ {
		err := e.Enter(strings.Repeat("y", i), "alice")
		if full = errors.Is(err, occupancy.ErrTooManyRooms); !full {
			must(t, err)
		}
	}
	wantRefused(t, occupancy.ErrTooManyRooms, 5, e.Join, "nowhere")
	return e
}

// allCollectors returns a collector of each kind, with all metrics.
func allCollectors(t testing.TB) []prometheus.Collector {
	e := newBusyEngine(t)
	board := trending.New(e)
	t.Cleanup(func() { must(t, board.Close()) })
	return []prometheus.Collector{
		occupancyprom.NewCollector(e, occupancyprom.WithTopRooms(1, board)),
		occupancyprom.NewHTTPCollector(occupancyhttp.NewHandler(e)),
		occupancyprom.NewTrendingCollector(board),
		newClusterCollector(cluster.Health{Reasons: []cluster.Reason{{Text: "missing: a"}}}),
	}
}

// scrapeIdle waits until the engine is idle, and returns the scraped values and the Stats.
func scrapeIdle(t testing.TB, e *occupancy.Engine) (map[string]float64, occupancy.Stats) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		before := e.Stats()
		got := values(scrape(t, occupancyprom.NewCollector(e)))
		if e.Stats() == before && before.Local.Connections == 24 {
			return got, before
		}
	}
	t.Fatal("the engine is not idle after a minute")
	return nil, occupancy.Stats{}
}

func TestCollector_ExportsStats(t *testing.T) {
	got, s := scrapeIdle(t, newBusyEngine(t))
	want := map[string]float64{
		"occupancy_service_rooms":                                 float64(s.Rooms),
		"occupancy_service_connections":                           124,
		"occupancy_service_presence_members":                      float64(s.Local.PresenceMembers + 50),
		"occupancy_service_users":                                 float64(s.Local.Users + 40),
		"occupancy_connections":                                   24,
		"occupancy_presence_members":                              float64(s.Local.PresenceMembers),
		"occupancy_users":                                         float64(s.Local.Users),
		"occupancy_lingering_leases":                              1,
		"occupancy_subscriptions":                                 3,
		"occupancy_watchers":                                      2,
		"occupancy_interval_seconds":                              0.001,
		"occupancy_arrivals_total":                                float64(s.Arrivals),
		"occupancy_departures_total":                              float64(s.Departures),
		"occupancy_events_published_total":                        float64(s.Published),
		"occupancy_events_delivered_total":                        float64(s.Delivered),
		"occupancy_events_folded_total":                           float64(s.Folded),
		"occupancy_hooks_refused_total{error=closed}":             5,
		"occupancy_hooks_refused_total{error=invalid_room}":       1,
		"occupancy_hooks_refused_total{error=invalid_client_id}":  4,
		"occupancy_hooks_refused_total{error=too_many_rooms}":     6,
		"occupancy_hooks_refused_total{error=room_full}":          7,
		"occupancy_hooks_refused_total{error=not_joined}":         2,
		"occupancy_hooks_refused_total{error=not_entered}":        3,
		"occupancy_hooks_refused_total{error=count_out_of_range}": 0,
		"occupancy_publish_duration_seconds_sum":                  s.Publishing.Seconds(),
		"occupancy_publish_duration_seconds_count":                float64(s.Rounds),
	}
	events := uint64(0)
	for i, n := range s.Delays.Counts {
		events += n
		le := math.Inf(1)
		if i < len(occupancy.DelayBounds()) {
			le = occupancy.DelayBounds()[i].Seconds()
		}
		want[fmt.Sprintf("occupancy_event_delay_seconds_bucket{le=%v}", le)] = float64(events)
	}
	want["occupancy_event_delay_seconds_sum"] = s.Delays.Sum.Seconds()
	want["occupancy_event_delay_seconds_count"] = float64(events)
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("\n got %v\nwant %v", got, want)
	}
	if events == 0 || s.Published == 0 || s.Delivered == 0 || s.Rounds == 0 || s.Publishing == 0 || s.Arrivals == 0 || s.Departures == 0 ||
		s.Local.Users == 0 || s.Local.Users == s.Local.PresenceMembers {
		t.Fatalf("a value that should not be zero is zero: %+v", s)
	}
}

// This test fails if the collector does not export a new field of Stats.
func TestCollector_ExportsEveryFieldOfStats(t *testing.T) {
	families := scrape(t, occupancyprom.NewCollector(newBusyEngine(t)))
	exported := 0
	for name, f := range families {
		if name == "occupancy_interval_seconds" {
			continue // not part of Stats
		}
		exported += len(f.Metric)
		switch f.GetType() {
		case dto.MetricType_SUMMARY:
			exported++ // a sum and a count
		case dto.MetricType_HISTOGRAM:
			exported += len(f.Metric[0].Histogram.Bucket) // a sum and a count for each bucket
		}
	}
	if want := numFields(reflect.TypeFor[occupancy.Stats]()); exported != want {
		t.Fatalf("%d values are exported, Stats has %d", exported, want)
	}
}

// numFields counts the fields of a struct, including those of nested structs.
func numFields(t reflect.Type) int {
	switch t.Kind() {
	case reflect.Array:
		return t.Len()
	case reflect.Struct:
	default:
		return 1
	}
	n := 0
	for i := range t.NumField() {
		n += numFields(t.Field(i).Type)
	}
	return n
}

func TestCollector_FollowsNamingConventions(t *testing.T) {
	for _, c := range allCollectors(t) {
		problems, err := testutil.CollectAndLint(c)
		must(t, err)
		for _, p := range problems {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestCollector_ClosedEngine(t *testing.T) {
	e := occupancy.New()
	must(t, e.Join("room"))
	must(t, e.Close())
	if got := values(scrape(t, occupancyprom.NewCollector(e)))["occupancy_service_rooms"]; got != 1 {
		t.Fatal(got)
	}
}

func TestCollector_TwoEnginesInOneRegistry(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	for _, name := range []string{"chat", "games"} {
		e := occupancy.New()
		defer e.Close()
		labelled := prometheus.WrapRegistererWith(prometheus.Labels{"engine": name}, registry)
		must(t, labelled.Register(occupancyprom.NewCollector(e)))
	}
	n, err := testutil.GatherAndCount(registry, "occupancy_service_rooms")
	must(t, err)
	if n != 2 {
		t.Fatalf("%d series", n)
	}
}
