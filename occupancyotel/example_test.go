package occupancyotel_test

import (
	"fmt"

	"go.opentelemetry.io/otel/metric/noop"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancyotel"
)

// A real program passes otel.GetMeterProvider(), or the provider that it has configured.
func ExampleRegister() {
	engine := occupancy.New()
	defer engine.Close()

	registration, err := occupancyotel.Register(noop.NewMeterProvider(), engine)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = registration.Unregister() }()
	fmt.Println("registered")
	// Output: registered
}
