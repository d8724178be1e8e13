package occupancyotel

import (
	"context"
	"errors"
	"fmt"

	"go.opentelemetry.io/otel/metric"

	"github.com/occupancy/occupancy"
)

// Register creates the instruments with a meter of the provider, and a callback that reads
// the Stats of e at each collection. Unregister of the result removes the callback. The
// callback also works after the engine is closed. Register returns the errors of the
// meter, and nil for the registration then.
//
// A provider must have at most one engine, because all engines have the same instruments. For
// several engines, use providers whose resources differ.
func Register(provider metric.MeterProvider, e *occupancy.Engine) (metric.Registration, error) {
	meter := provider.Meter("github.com/occupancy/occupancy/occupancyotel")
	var observables []metric.Observable
	var observers []observer
	var errs []error
	for _, create := range instruments {
		observable, observe, err := create(meter)
		observables, observers, errs = append(observables, observable), append(observers, observe), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("occupancyotel: %w", err)
	}
	return meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s := e.Stats()
		for _, observe := range observers {
			observe(o, &s, e)
		}
		return nil
	}, observables...)
}
