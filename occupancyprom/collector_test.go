package occupancyprom_test

import (
	"errors"
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
	"github.com/occupancy/occupancy/occupancyprom"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// scrape reads the collector as Prometheus does: over HTTP, by its own parser.
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

// values are the samples, by name and labels.
func values(families map[string]*dto.MetricFamily) map[string]float64 {
	values := map[string]float64{}
	for name, f := range families {
		for _, m := range f.Metric {
			key := name
			for _, l := range m.Label {
				key += "{" + l.GetName() + "=" + l.GetValue() + "}"
			}
			switch {
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

func refuse(t testing.TB, want error, n int, hook func(string) error, room string) {
	t.Helper()
	for range n {
		if err := hook(room); !errors.Is(err, want) {
			t.Fatal(err)
		}
	}
}

// busy is an engine in which the figures differ from each other.
func busy(t testing.TB) *occupancy.Engine {
	t.Helper()
	e := occupancy.New(occupancy.WithInterval(time.Millisecond), occupancy.WithMaxRooms(50))
	t.Cleanup(func() { _ = e.Close() })
	for i := range 11 {
		must(t, e.Join("room"))
		must(t, e.Join(strings.Repeat("x", 1+i)))
	}
	for range 7 {
		must(t, e.Enter("room"))
	}
	for range 3 {
		_, err := e.Subscribe("room")
		must(t, err)
	}
	t.Cleanup(e.Watch().Close)
	t.Cleanup(e.Watch().Close)
	must(t, e.Join("told to the watchers"))
	refuse(t, occupancy.ErrRoomName, 1, e.Join, "")
	refuse(t, occupancy.ErrNotJoined, 2, e.Leave, "nowhere")
	refuse(t, occupancy.ErrNotEntered, 3, e.Exit, "nowhere")
	lease, err := e.Connect("room")
	must(t, err)
	refuse(t, occupancy.ErrClientID, 4, lease.Enter, "")
	must(t, lease.Close())
	refuse(t, occupancy.ErrClosed, 5, lease.Enter, "alice")
	for i := 0; e.Stats().Rooms < 50; i++ {
		must(t, e.Enter(strings.Repeat("y", 1+i)))
	}
	refuse(t, occupancy.ErrTooManyRooms, 6, e.Join, "nowhere")
	return e
}

// settled scrapes until the engine did nothing meanwhile, and returns its Stats too.
func settled(t testing.TB, e *occupancy.Engine) (map[string]float64, occupancy.Stats) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); {
		before := e.Stats()
		got := values(scrape(t, occupancyprom.NewCollector(e)))
		if e.Stats() == before && before.Connections == 23 {
			return got, before
		}
	}
	t.Fatal("not quiet within a minute")
	return nil, occupancy.Stats{}
}

func TestAScrapeIsWhatStatsAre(t *testing.T) {
	got, s := settled(t, busy(t))
	want := map[string]float64{
		"occupancy_rooms":                                     float64(s.Rooms),
		"occupancy_connections":                               23,
		"occupancy_presence_members":                          float64(s.PresenceMembers),
		"occupancy_subscriptions":                             3,
		"occupancy_watchers":                                  2,
		"occupancy_rooms_limit":                               50,
		"occupancy_interval_seconds":                          0.001,
		"occupancy_events_published_total":                    float64(s.Published),
		"occupancy_events_delivered_total":                    float64(s.Delivered),
		"occupancy_events_folded_total":                       float64(s.Folded),
		"occupancy_hooks_refused_total{error=closed}":         5,
		"occupancy_hooks_refused_total{error=room_name}":      1,
		"occupancy_hooks_refused_total{error=client_id}":      4,
		"occupancy_hooks_refused_total{error=too_many_rooms}": 6,
		"occupancy_hooks_refused_total{error=not_joined}":     2,
		"occupancy_hooks_refused_total{error=not_entered}":    3,
		"occupancy_hooks_refused_total{error=count}":          0,
		"occupancy_publish_duration_seconds_sum":              s.Publishing.Seconds(),
		"occupancy_publish_duration_seconds_count":            float64(s.Rounds),
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("\n got %v\nwant %v", got, want)
	}
	if s.Published == 0 || s.Delivered == 0 || s.Rounds == 0 || s.Publishing == 0 {
		t.Fatalf("%+v: not busy", s)
	}
}

// A figure that is added to Stats must not be forgotten here.
func TestEveryFigureOfStatsIsExposed(t *testing.T) {
	families := scrape(t, occupancyprom.NewCollector(busy(t)))
	figures := 0
	for _, f := range families {
		figures += len(f.Metric)
		if f.GetType() == dto.MetricType_SUMMARY {
			figures++ // a sum and a count
		}
	}
	fields := reflect.TypeFor[occupancy.Stats]().NumField() - 1 + reflect.TypeFor[occupancy.Refused]().NumField()
	if figures != fields {
		t.Fatalf("%d figures are exposed, Stats has %d", figures, fields)
	}
}

func TestNamesHelpAndUnitsAreConventional(t *testing.T) {
	e := busy(t)
	top := func(int) []occupancyprom.Room {
		return []occupancyprom.Room{{Name: "room", Occupancy: e.Current("room")}}
	}
	problems, err := testutil.CollectAndLint(occupancyprom.NewCollector(e, occupancyprom.WithTopRooms(1, top)))
	must(t, err)
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestAClosedEngineCanBeScraped(t *testing.T) {
	e := occupancy.New()
	must(t, e.Join("room"))
	must(t, e.Close())
	if got := values(scrape(t, occupancyprom.NewCollector(e)))["occupancy_rooms"]; got != 1 {
		t.Fatal(got)
	}
}

func TestTwoEnginesInOneRegistry(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	for _, name := range []string{"chat", "games"} {
		e := occupancy.New()
		defer e.Close()
		labelled := prometheus.WrapRegistererWith(prometheus.Labels{"engine": name}, registry)
		must(t, labelled.Register(occupancyprom.NewCollector(e)))
	}
	n, err := testutil.GatherAndCount(registry, "occupancy_rooms")
	must(t, err)
	if n != 2 {
		t.Fatalf("%d series", n)
	}
}
