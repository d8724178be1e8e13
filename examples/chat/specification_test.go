package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancyhttp"
)

// The four snippets of the product specification, unchanged.
const (
	subscribeSnippet   = `const { unsubscribe } = room.occupancy.subscribe((event) => { console.log(event); });`
	unsubscribeSnippet = `unsubscribe();`
	getSnippet         = `const occupancy = await room.occupancy.get();`
	currentSnippet     = `const latestOccupancy = room.occupancy.current();`
)

// specificationPage runs the snippets as a module. console.log also records the events, so
// that the page can wait for one. results contains what the snippets yield.
const specificationPage = `<!doctype html>
<link rel="icon" href="data:,">
<script type="module">
import { connect } from "/occupancy/occupancy.js";
const { rooms } = connect("/occupancy");

const events = [];
const { log } = console;
console.log = (...args) => { events.push(...args); log(...args); };
const eventReceived = async () => { while (!events.length) await new Promise((resolve) => setTimeout(resolve)); };
const results = {};
const record = (name, value) => { results[name] = value === undefined ? "undefined" : JSON.stringify(value); };

const room = await rooms.get("lobby");
{
	` + currentSnippet + `
	record("currentBeforeSubscribe", latestOccupancy);
}
` + subscribeSnippet + `
{
	` + currentSnippet + `
	record("currentBeforeFirstEvent", latestOccupancy);
}
await eventReceived();
record("event", events[0]);
` + currentSnippet + `
record("current", latestOccupancy);
` + getSnippet + `
record("get", occupancy);
` + unsubscribeSnippet + `
record("currentAfterUnsubscribe", room.occupancy.current());
globalThis.results = results;
</script>`

func TestSpecification_SnippetsInChromium(t *testing.T) {
	const (
		occupancyJSON = `{"connections":103,"presenceMembers":95}`
		eventJSON     = `{"type":"occupancy.updated","occupancy":` + occupancyJSON + `}`
	)
	browser := chromium(t)
	engine := occupancy.New()
	for i := range 103 {
		require.NoError(t, engine.Join("lobby"))
		if i < 95 {
			require.NoError(t, engine.Enter("lobby", fmt.Sprintf("client-%d", i)))
		}
	}
	mux := http.NewServeMux()
	mux.Handle("GET /occupancy/", http.StripPrefix("/occupancy", occupancyhttp.NewHandler(engine)))
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, specificationPage) })
	server := httptest.NewServer(mux)
	defer server.Close()
	defer engine.Close() // before the server, whose Close waits for open streams

	page := open(t, browser, server.URL+"/")
	page.becomes("globalThis.results")
	results, err := chromedp.Run(page.ctx, chromedp.Evaluate[map[string]string]("results"))
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		"currentBeforeSubscribe":  "undefined",
		"currentBeforeFirstEvent": "undefined",
		"event":                   eventJSON,
		"current":                 occupancyJSON,
		"get":                     occupancyJSON,
		"currentAfterUnsubscribe": "undefined",
	}, results)
	require.Eventually(t, func() bool { return engine.Stats().Subscriptions == 0 }, 30*time.Second, time.Millisecond, "the stream is still open after unsubscribe")
}
