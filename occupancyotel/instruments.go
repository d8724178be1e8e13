package occupancyotel

import (
	"math"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/occupancy/occupancy"
)

// instrument creates an observable and the function that observes it.
type instrument func(metric.Meter) (metric.Observable, observer, error)

type observer func(o metric.Observer, s *occupancy.Stats, e *occupancy.Engine)

// upDown is for numbers of this process, which can be added up.
func upDown(name, unit, description string, value func(s *occupancy.Stats) int) instrument {
	return func(m metric.Meter) (metric.Observable, observer, error) {
		i, err := m.Int64ObservableUpDownCounter("occupancy."+name, metric.WithUnit(unit), metric.WithDescription(description))
		return i, func(o metric.Observer, s *occupancy.Stats, _ *occupancy.Engine) { o.ObserveInt64(i, int64(value(s))) }, err
	}
}

// gauge is for numbers of the whole service, which must not be added up.
func gauge(name, unit, description string, value func(s *occupancy.Stats) int) instrument {
	return func(m metric.Meter) (metric.Observable, observer, error) {
		i, err := m.Int64ObservableGauge("occupancy."+name, metric.WithUnit(unit), metric.WithDescription(description))
		return i, func(o metric.Observer, s *occupancy.Stats, _ *occupancy.Engine) { o.ObserveInt64(i, int64(value(s))) }, err
	}
}

func counter(name, unit, description string, value func(s *occupancy.Stats) uint64) instrument {
	return counters(name, unit, description, func(s *occupancy.Stats, add func(uint64, ...metric.ObserveOption)) { add(value(s)) })
}

// counters is for a counter with attributes. values calls add for each of their values.
func counters(name, unit, description string, values func(s *occupancy.Stats, add func(n uint64, attributes ...metric.ObserveOption))) instrument {
	return func(m metric.Meter) (metric.Observable, observer, error) {
		i, err := m.Int64ObservableCounter("occupancy."+name, metric.WithUnit(unit), metric.WithDescription(description))
		return i, func(o metric.Observer, s *occupancy.Stats, _ *occupancy.Engine) {
			values(s, func(n uint64, attributes ...metric.ObserveOption) {
				o.ObserveInt64(i, int64(min(n, math.MaxInt64)), attributes...)
			})
		}, err
	}
}

func seconds(name, description string, value func(s *occupancy.Stats) float64) instrument {
	return func(m metric.Meter) (metric.Observable, observer, error) {
		i, err := m.Float64ObservableCounter("occupancy."+name, metric.WithUnit("s"), metric.WithDescription(description))
		return i, func(o metric.Observer, s *occupancy.Stats, _ *occupancy.Engine) { o.ObserveFloat64(i, value(s)) }, err
	}
}

func interval(m metric.Meter) (metric.Observable, observer, error) {
	i, err := m.Float64ObservableGauge("occupancy.interval", metric.WithUnit("s"),
		metric.WithDescription("Minimum time between two events of one room, as set by WithInterval."))
	return i, func(o metric.Observer, _ *occupancy.Stats, e *occupancy.Engine) {
		o.ObserveFloat64(i, e.Interval().Seconds())
	}, err
}

var instruments = []instrument{
	upDown("connections", "{connection}", "Connections of this process in all rooms.",
		func(s *occupancy.Stats) int { return s.Local.Connections }),
	upDown("presence_members", "{member}", "Presence members of this process in all rooms.",
		func(s *occupancy.Stats) int { return s.Local.PresenceMembers }),
	upDown("users", "{user}", "Users of this process, if the engine counts users. A user in two rooms counts twice.",
		func(s *occupancy.Stats) int { return s.Local.Users }),
	gauge("service.rooms", "{room}", "Rooms that exist: occupied, subscribed to, or reported by another node.",
		func(s *occupancy.Stats) int { return s.Rooms }),
	gauge("service.connections", "{connection}", "Connections of this process and the linked nodes in all rooms.",
		func(s *occupancy.Stats) int { return s.Total.Connections }),
	gauge("service.presence_members", "{member}", "Presence members of this process and the linked nodes in all rooms.",
		func(s *occupancy.Stats) int { return s.Total.PresenceMembers }),
	gauge("service.users", "{user}", "Users of this process and the linked nodes, if the engine counts users. A user in two rooms counts twice.",
		func(s *occupancy.Stats) int { return s.Total.Users }),
	upDown("lingering_leases", "{lease}", "Connections that broke and remain counted, in case the client reconnects.",
		func(s *occupancy.Stats) int { return s.Lingering }),
	upDown("subscriptions", "{subscription}", "Open subscriptions, each to one room.",
		func(s *occupancy.Stats) int { return s.Subscriptions }),
	upDown("watchers", "{watcher}", "Open watchers.",
		func(s *occupancy.Stats) int { return s.Watchers }),
	counter("arrivals", "{connection}", "Connections of this process that arrived, net in each interval of a room.",
		func(s *occupancy.Stats) uint64 { return s.Arrivals }),
	counter("departures", "{connection}", "Connections of this process that departed, net in each interval of a room.",
		func(s *occupancy.Stats) uint64 { return s.Departures }),
	counter("events.published", "{event}", "Events published in rooms with a subscriber or watcher.",
		func(s *occupancy.Stats) uint64 { return s.Published }),
	counter("events.delivered", "{event}", "Events sent to subscribers, including the first event of each subscriber.",
		func(s *occupancy.Stats) uint64 { return s.Delivered }),
	counter("events.folded", "{event}", "Events that a newer event replaced before the subscriber read them.",
		func(s *occupancy.Stats) uint64 { return s.Folded }),
	counters("events.delay.bucket", "{event}", "Events published with a delay of le seconds or less.", addDelays),
	seconds("events.delay.sum", "Sum of the delays of events.",
		func(s *occupancy.Stats) float64 { return s.Delays.Sum.Seconds() }),
	counters("hooks.refused", "{call}", "Calls of Join, Leave, Enter, Exit and Connect that returned an error.", addRefused),
	counter("publish.rounds", "{round}", "Rounds in which the engine published changed rooms.",
		func(s *occupancy.Stats) uint64 { return s.Rounds }),
	seconds("publish.duration", "Duration of these rounds.",
		func(s *occupancy.Stats) float64 { return s.Publishing.Seconds() }),
	interval,
}

func addDelays(s *occupancy.Stats, add func(uint64, ...metric.ObserveOption)) {
	events, bounds := uint64(0), occupancy.DelayBounds()
	for i, n := range s.Delays.Counts {
		events += n
		le := "+Inf"
		if i < len(bounds) {
			le = strconv.FormatFloat(bounds[i].Seconds(), 'g', -1, 64)
		}
		add(events, metric.WithAttributes(attribute.String("le", le)))
	}
}

func addRefused(s *occupancy.Stats, add func(uint64, ...metric.ObserveOption)) {
	for _, refusal := range []struct {
		name string
		n    uint64
	}{
		{"closed", s.Refused.Closed},
		{"invalid_room", s.Refused.InvalidRoom},
		{"invalid_client_id", s.Refused.InvalidClientID},
		{"too_many_rooms", s.Refused.TooManyRooms},
		{"room_full", s.Refused.RoomFull},
		{"not_joined", s.Refused.NotJoined},
		{"not_entered", s.Refused.NotEntered},
		{"count_out_of_range", s.Refused.Count},
	} {
		add(refusal.n, metric.WithAttributes(attribute.String("error.type", refusal.name)))
	}
}
