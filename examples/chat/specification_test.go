package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancyhttp"
)

// The four code snippets of the product specification, unchanged.
const (
	subscribeSnippet   = `const { unsubscribe } = room.occupancy.subscribe((event) => { console.log(event); });`
	unsubscribeSnippet = `unsubscribe();`
	getSnippet         = `const occupancy = await room.occupancy.get();`
	currentSnippet     = `const latestOccupancy = room.occupancy.current();`
)

// specificationPage runs the snippets as a JavaScript module and stores the results in the
// global variable results. console.log also stores each event, so that the page can wait for
// the first event.
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

const snippetOccupancy = `{"connections":103,"presenceMembers":95}`

func TestSpecification_SnippetsInChromium(t *testing.T) {
	const eventJSON = `{"type":"occupancy.updated","occupancy":` + snippetOccupancy + `}`
	browser := chromium(t)
	s := servePages(t, map[string]string{"/": specificationPage})
	page := open(t, browser, s.URL+"/")
	page.waitTrue("globalThis.results")
	results, err := chromedp.Run(page.ctx, chromedp.Evaluate[map[string]string]("results"))
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		"currentBeforeSubscribe":  "undefined",
		"currentBeforeFirstEvent": "undefined",
		"event":                   eventJSON,
		"current":                 snippetOccupancy,
		"get":                     snippetOccupancy,
		"currentAfterUnsubscribe": "undefined",
	}, results)
	s.awaitStreams(0)
}

// The test runs the code blocks of docs/browser.md.
func TestBrowserDocs_SnippetsInChromium(t *testing.T) {
	browser := chromium(t)
	s := servePages(t, map[string]string{
		"/client": modulePage(clientRegion(t, "client") + "globalThis.results = { occupancy, latest: latestOccupancy ?? occupancy };"),
		"/fetch": modulePage(`import { connect } from "/occupancy/occupancy.js";` +
			strings.ReplaceAll(clientRegion(t, "fetch"), "https://chat.example", "") +
			`globalThis.results = await (await rooms.get("lobby")).occupancy.get();`),
		"/token": modulePage(`import { connect } from "/occupancy/occupancy.js"; const session = { token: "secret", userID: "alice" };` +
			strings.ReplaceAll(clientRegion(t, "token"), "https://chat.example", "") +
			`globalThis.results = await (await client.rooms.get("lobby")).occupancy.get();`),
		"/status": modulePage(`import { connect } from "/occupancy/occupancy.js"; const show = (text) => { globalThis.results = text; };` + clientRegion(t, "status")),
	})
	for path, want := range map[string]string{
		"/client": `{"occupancy":` + snippetOccupancy + `,"latest":` + snippetOccupancy + `}`, // the stream or get may be first
		"/status": `"103 connected"`,
		"/token":  snippetOccupancy,
		"/fetch":  snippetOccupancy,
	} {
		page := open(t, browser, s.URL+path)
		page.waitTrue("globalThis.results")
		results, err := chromedp.Run(page.ctx, chromedp.Evaluate[string]("JSON.stringify(results)"))
		require.NoError(t, err)
		require.Equal(t, want, results)
		page.do(chromedp.Navigate("about:blank"))
		s.awaitStreams(0)
	}
}

// A page in Chromium's back/forward cache has no occupancy stream. The page opens a new stream
// when the user navigates back.
func TestClient_BackForwardCacheInChromium(t *testing.T) {
	browser := chromium(t)
	s := servePages(t, map[string]string{"/": modulePage(`import { connect } from "/occupancy/occupancy.js";
		const room = await connect("/occupancy").rooms.get("lobby");
		room.occupancy.subscribe(() => {});
	`)})
	page := open(t, browser, s.URL+"/")
	s.awaitStreams(1)
	page.do(chromedp.Evaluate[chromedp.Void]("globalThis.cached = true"))
	page.do(chromedp.Navigate("about:blank"))
	s.awaitStreams(0)
	page.do(chromedp.Evaluate[chromedp.Void]("void setTimeout(() => history.back())")) // the timeout lets Chromium respond to this command first
	s.awaitStreams(1)
	page.waitTrue("globalThis.cached") // the variable exists, so the page was not reloaded
}

// pageServer serves pages and the occupancy of an engine. The room lobby has 103 connections
// and 95 presence members.
type pageServer struct {
	*httptest.Server
	t       *testing.T
	handler *occupancyhttp.Handler
}

func servePages(t *testing.T, pages map[string]string) *pageServer {
	t.Helper()
	engine := occupancy.New()
	for i := range 103 {
		require.NoError(t, engine.Join("lobby"))
		if i < 95 {
			require.NoError(t, engine.Enter("lobby", fmt.Sprintf("client-%d", i)))
		}
	}
	mux := http.NewServeMux()
	handler := occupancyhttp.NewHandler(engine)
	mux.Handle("GET /occupancy/", http.StripPrefix("/occupancy", handler))
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(w, pages[r.URL.Path])
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	t.Cleanup(func() { _ = engine.Close() }) // first, because server.Close waits for open streams
	return &pageServer{server, t, handler}
}

func (s *pageServer) awaitStreams(n int) {
	s.t.Helper()
	require.Eventually(s.t, func() bool { return s.handler.Stats().Streams == n }, 30*time.Second, time.Millisecond)
}

func modulePage(script string) string {
	return `<!doctype html><link rel="icon" href="data:,"><script type="module">` + script + `</script>`
}

// clientRegion returns a region of use.ts, which contains the code blocks of docs/browser.md.
func clientRegion(t *testing.T, name string) string {
	t.Helper()
	file, err := os.ReadFile("../../internal/clientchecks/types/use.ts")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(file), "// begin: "+name+"\n")
	require.True(t, found, "no region %s", name)
	region, _, found := strings.Cut(rest, "// end: "+name+"\n")
	require.True(t, found, "the region %s has no end", name)
	return region
}
