package trending_test

import (
	"testing"

	"github.com/occupancy/occupancy/trending"
)

func TestParseOrder_AcceptsResultOfString(t *testing.T) {
	for _, o := range []trending.Order{trending.Popular, trending.Trending} {
		if got, err := trending.ParseOrder(o.String()); got != o || err != nil {
			t.Error(got, err)
		}
	}
	if got := trending.Order(7).String(); got != "Order(7)" {
		t.Error(got)
	}
}
