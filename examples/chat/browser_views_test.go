package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// axe is a program that finds accessibility faults of a page.
func axe(t *testing.T) string {
	t.Helper()
	script, err := os.ReadFile("../../internal/clientchecks/node_modules/axe-core/axe.min.js")
	if err != nil {
		const missing = "axe-core is not installed: run `npm ci` in internal/clientchecks"
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	return string(script) + ";0"
}

// startWithBots starts a chat server whose page shows the scenes. The bots do not run.
func startWithBots(t *testing.T) *testServer {
	t.Helper()
	s := newServer(longTimeouts)
	s.crowd = newCrowd(t.Context(), 60, "", nil)
	web := httptest.NewServer(s.routes())
	t.Cleanup(func() {
		s.stop(errStopping)
		require.NoError(t, s.close())
		web.Close()
	})
	return &testServer{server: s, t: t, addr: web.Listener.Addr().String()}
}

// emulate sets a media feature, such as prefers-color-scheme.
func (b *tab) emulate(feature, value string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: feature, Value: value}, {Name: "prefers-reduced-motion", Value: "reduce"}},
	})
	require.NoError(b.t, err)
}

// No view of the page has an accessibility fault that axe finds.
func TestPage_AxeFindsNoFault(t *testing.T) {
	script := axe(t)
	browser := chromium(t)
	s := startWithBots(t)
	for _, room := range []string{"lobby", "lobby", "שלום \u202e abc", strings.Repeat("W", 200)} {
		s.dial(strings.ReplaceAll(room, " ", "%20"))
	}
	page := open(t, browser, "http://"+s.addr+"/")
	views := []struct {
		name, fragment string
		prepare        func()
	}{
		{"all rooms", "", func() {
			page.waitTrue(`!document.getElementById("scenes").hidden`)
			page.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("[data-scene=raid]").click()`))
			page.waitTrue(`document.querySelector("[data-scene=raid].running")`)
		}},
		{"room", "lobby", func() { page.waitText("connections", "3") }},
		{"room with a nickname", "games", func() {
			page.do(chromedp.SendKeys("#nickname", strings.Repeat("W", 40)+kb.Enter))
			page.waitText("members", "1")
			page.do(chromedp.SendKeys("#text", "hello"+kb.Enter))
			page.waitTrue(`document.querySelector("#log .text")`)
			page.do(chromedp.Click("#exit"))
		}},
		{"refused room", strings.Repeat("x", 1025), func() { page.waitTrue(`document.getElementById("roomStatus").textContent`) }},
		{"outdated numbers", "", func() {
			page.do(chromedp.Evaluate[chromedp.Void](`document.body.classList.add("stale"); document.getElementById("status").textContent = "Not connected"`))
		}},
	}
	for _, size := range [][2]int64{{1280, 800}, {320, 256}} {
		for _, scheme := range []string{"light", "dark"} {
			page.do(chromedp.EmulateViewport(size[0], size[1]))
			page.emulate("prefers-color-scheme", scheme)
			for _, view := range views {
				page.do(chromedp.Navigate("http://"+s.addr+"/#"+view.fragment), chromedp.Reload())
				page.waitText("status", "")
				page.waitTrue(`document.querySelector("#rooms a")`)
				view.prepare()
				page.do(chromedp.Evaluate[chromedp.Void](script))
				page.do(chromedp.Evaluate[chromedp.Void](`void axe.run().then(({ violations }) => {
					globalThis.faults = violations.map(({ id, nodes }) => id + ": " + nodes.map(({ html, any }) => html.slice(0, 120) + " " + any[0]?.message).join(" | "));
				})`))
				page.waitTrue("globalThis.faults")
				faults, err := chromedp.Run(page.ctx, chromedp.Evaluate[[]string]("faults"))
				require.NoError(t, err)
				require.Empty(t, faults, "%s, %s, %v", view.name, scheme, size)
			}
		}
	}
	page.close()
}

// Each link, button and input can be reached with the Tab key, and shows that it has the focus.
func TestPage_Keyboard(t *testing.T) {
	browser := chromium(t)
	s := start(t, longTimeouts)
	s.dial("lobby")
	page := open(t, browser, "http://"+s.addr+"/")
	for _, feature := range []string{"none", "active"} {
		page.emulate("forced-colors", feature)
		for _, fragment := range []string{"", "lobby"} {
			page.do(chromedp.Navigate("http://"+s.addr+"/#"+fragment), chromedp.Reload())
			page.waitText("status", "")
			page.waitTrue(`document.querySelectorAll("#rooms a").length === 5`)
			count, err := chromedp.Run(page.ctx, chromedp.Evaluate[int](`{
				window.unreached = new Set([...document.querySelectorAll("a[href], button, input, summary, [tabindex='0']")].filter((element) => element.checkVisibility()));
				document.activeElement.blur();
				unreached.size;
			}`))
			require.NoError(t, err)
			for range count + 1 { // one more, because the first key can move the focus to the page itself
				page.do(chromedp.KeyEvent(kb.Tab))
				page.waitTrue(`document.activeElement === document.body || !unreached.has(document.activeElement) || getComputedStyle(document.activeElement).outlineStyle !== "none"`)
				page.do(chromedp.Evaluate[chromedp.Void](`void unreached.delete(document.activeElement)`))
			}
			left, err := chromedp.Run(page.ctx, chromedp.Evaluate[[]string](`[...unreached].map(({ outerHTML }) => outerHTML.slice(0, 80))`))
			require.NoError(t, err)
			require.Empty(t, left, "#%s, forced colors: %s", fragment, feature)
		}
	}
	page.close()
}

// While the server does not respond, the page shows that it is loading.
func TestPage_SlowNetwork(t *testing.T) {
	browser := chromium(t)
	s := start(t, longTimeouts)
	s.dial("lobby")
	respond := make(chan struct{})
	routes := s.routes()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/occupancy/events") {
			<-respond
		}
		routes.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections) // the streams do not end by themselves
	release := sync.OnceFunc(func() { close(respond) })
	t.Cleanup(release)
	page := open(t, browser, server.URL+"/")
	page.waitTrue(`document.getElementById("hint").checkVisibility()`)
	page.waitText("status", "Loading …")
	page.waitText("allConnections", "–")
	page.waitTrue(`document.body.classList.contains("stale")`)
	release()
	page.waitText("status", "")
	page.waitText("allConnections", "1")
	page.waitListed("lobby", 1, 0)
	page.close()
}
