package occupancyotel_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancyotel"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// collect returns the values by name and attributes, and the kinds of the metrics by name.
func collect(t *testing.T, reader sdk.Reader) (map[string]float64, map[string]string) {
	t.Helper()
	var all metricdata.ResourceMetrics
	must(t, reader.Collect(context.Background(), &all))
	values, kinds := map[string]float64{}, map[string]string{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				add(values, m.Name, data.DataPoints)
				kinds[m.Name] = sumKind(data.IsMonotonic)
			case metricdata.Sum[float64]:
				add(values, m.Name, data.DataPoints)
				kinds[m.Name] = sumKind(data.IsMonotonic)
			case metricdata.Gauge[int64]:
				add(values, m.Name, data.DataPoints)
				kinds[m.Name] = "gauge"
			case metricdata.Gauge[float64]:
				add(values, m.Name, data.DataPoints)
				kinds[m.Name] = "gauge"
			}
		}
	}
	return values, kinds
}

func sumKind(monotonic bool) string {
	if monotonic {
		return "counter"
	}
	return "up-down counter"
}

func add[N int64 | float64](values map[string]float64, name string, points []metricdata.DataPoint[N]) {
	for _, p := range points {
		key := name
		for _, a := range p.Attributes.ToSlice() {
			key += fmt.Sprintf("{%s=%s}", a.Key, a.Value.AsString())
		}
		values[key] = float64(p.Value)
	}
}

func register(t *testing.T, e *occupancy.Engine) (sdk.Reader, metric.Registration) {
	t.Helper()
	reader := sdk.NewManualReader()
	registration, err := occupancyotel.Register(sdk.NewMeterProvider(sdk.WithReader(reader)), e)
	must(t, err)
	return reader, registration
}

// newBusyEngine returns an engine whose Stats all differ from one another as far as possible.
func newBusyEngine(t *testing.T) *occupancy.Engine {
	t.Helper()
	e := occupancy.New(occupancy.WithUsers(), occupancy.WithMaxRooms(5))
	for range 3 {
		_, err := e.Subscribe("room")
		must(t, err)
	}
	for range 2 {
		_, err := e.Watch()
		must(t, err)
	}
	for i := range 7 {
		must(t, e.Join("room"))
		must(t, e.Enter("room", []string{"alice", "bob"}[i%2]))
	}
	must(t, e.Join("other"))
	lease, err := e.Connect("room", occupancy.As("alice"))
	must(t, err)
	lease.Linger(time.Hour)
	link, err := e.Link(nil)
	must(t, err)
	must(t, link.Remote("node").Set(occupancy.Part{Room: "room", Occupancy: occupancy.Occupancy{Connections: 100, PresenceMembers: 50}}))
	time.Sleep(10 * time.Second)
	must(t, e.Leave("room"))
	time.Sleep(10 * time.Second)
	for i, want := range []error{occupancy.ErrNotJoined, occupancy.ErrInvalidRoom, occupancy.ErrInvalidClientID, occupancy.ErrRoomFull} {
		for range i + 1 {
			err := map[error]func() error{
				occupancy.ErrNotJoined:       func() error { return e.Leave("nowhere") },
				occupancy.ErrInvalidRoom:     func() error { return e.Join("") },
				occupancy.ErrInvalidClientID: func() error { return e.Enter("room", "") },
				occupancy.ErrRoomFull: func() error {
					_, err := e.Connect("room", occupancy.Max(1))
					return err
				},
			}[want]()
			if !errors.Is(err, want) {
				t.Fatal(err)
			}
		}
	}
	return e
}

func TestRegister_ExportsStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := newBusyEngine(t)
		defer e.Close()
		reader, _ := register(t, e)
		s := e.Stats()
		got, kinds := collect(t, reader)
		want := map[string]float64{
			"occupancy.connections":                                  float64(s.Local.Connections),
			"occupancy.presence_members":                             float64(s.Local.PresenceMembers),
			"occupancy.users":                                        float64(s.Local.Users),
			"occupancy.service.rooms":                                float64(s.Rooms),
			"occupancy.service.connections":                          float64(s.Total.Connections),
			"occupancy.service.presence_members":                     float64(s.Total.PresenceMembers),
			"occupancy.service.users":                                float64(s.Total.Users),
			"occupancy.lingering_leases":                             1,
			"occupancy.subscriptions":                                3,
			"occupancy.watchers":                                     2,
			"occupancy.arrivals":                                     9,
			"occupancy.departures":                                   1,
			"occupancy.events.published":                             float64(s.Published),
			"occupancy.events.delivered":                             float64(s.Delivered),
			"occupancy.events.folded":                                float64(s.Folded),
			"occupancy.events.delay.sum":                             s.Delays.Sum.Seconds(),
			"occupancy.hooks.refused{error.type=closed}":             0,
			"occupancy.hooks.refused{error.type=not_joined}":         1,
			"occupancy.hooks.refused{error.type=invalid_room}":       2,
			"occupancy.hooks.refused{error.type=invalid_client_id}":  3,
			"occupancy.hooks.refused{error.type=room_full}":          4,
			"occupancy.hooks.refused{error.type=too_many_rooms}":     0,
			"occupancy.hooks.refused{error.type=not_entered}":        0,
			"occupancy.hooks.refused{error.type=count_out_of_range}": 0,
			"occupancy.publish.rounds":                               float64(s.Rounds),
			"occupancy.publish.duration":                             s.Publishing.Seconds(),
			"occupancy.interval":                                     0.1,
		}
		events := 0.0
		for i, le := range []string{"0.0001", "0.0003", "0.001", "0.003", "0.01", "0.03", "0.1", "0.3", "1", "3", "+Inf"} {
			events += float64(s.Delays.Counts[i])
			want["occupancy.events.delay.bucket{le="+le+"}"] = events
		}
		if !maps.Equal(got, want) {
			t.Errorf("\n got %v\nwant %v", got, want)
		}
		if events == 0 || s.Local == s.Total || s.Local.Users == 0 || s.Published == 0 || s.Delivered == 0 || s.Folded == 0 || s.Rounds == 0 {
			t.Errorf("a value that should not be zero is zero: %+v", s)
		}

		// The sum of two processes must be right for all but the gauges.
		for name, kind := range kinds {
			shared := strings.HasPrefix(name, "occupancy.service.") || name == "occupancy.interval"
			if shared != (kind == "gauge") {
				t.Errorf("%s is a %s", name, kind)
			}
		}
		for _, name := range []string{"occupancy.connections", "occupancy.watchers", "occupancy.lingering_leases"} {
			if kinds[name] != "up-down counter" {
				t.Errorf("%s is a %s", name, kinds[name])
			}
		}
		for _, name := range []string{"occupancy.arrivals", "occupancy.hooks.refused", "occupancy.publish.duration", "occupancy.events.delay.bucket"} {
			if kinds[name] != "counter" {
				t.Errorf("%s is a %s", name, kinds[name])
			}
		}
	})
}

// This test fails if a new field of Stats is not exported.
func TestRegister_ExportsEveryFieldOfStats(t *testing.T) {
	e := occupancy.New()
	defer e.Close()
	reader, _ := register(t, e)
	values, _ := collect(t, reader)
	delete(values, "occupancy.interval") // not part of Stats
	if want := numFields(reflect.TypeFor[occupancy.Stats]()); len(values) != want {
		t.Fatalf("%d values are exported, Stats has %d", len(values), want)
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

func TestRegister_ClosedEngineAndUnregister(t *testing.T) {
	e := occupancy.New()
	must(t, e.Join("room"))
	must(t, e.Close())
	reader, registration := register(t, e)
	if got, _ := collect(t, reader); got["occupancy.connections"] != 1 {
		t.Fatal(got)
	}
	must(t, registration.Unregister())
	if got, _ := collect(t, reader); len(got) != 0 {
		t.Fatal(got)
	}
}

type failingProvider struct{ noop.MeterProvider }

func (failingProvider) Meter(string, ...metric.MeterOption) metric.Meter { return failingMeter{} }

type failingMeter struct{ noop.Meter }

var errMeter = errors.New("meter failed")

func (failingMeter) Int64ObservableGauge(string, ...metric.Int64ObservableGaugeOption) (metric.Int64ObservableGauge, error) {
	return nil, errMeter
}

func TestRegister_ReturnsErrorOfMeter(t *testing.T) {
	e := occupancy.New()
	defer e.Close()
	if registration, err := occupancyotel.Register(failingProvider{}, e); !errors.Is(err, errMeter) || registration != nil {
		t.Fatal(registration, err)
	}
}
