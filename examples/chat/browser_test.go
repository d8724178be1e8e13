package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy"
	"github.com/occupancy/occupancy/occupancyhttp"
)

// chromium starts a real browser. Where there is none the test is skipped, but under
// CI=true it fails.
func chromium(t *testing.T) context.Context {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		const missing = "Chromium is not installed: the page is not tested in a browser"
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) }) // waits until the browser is gone, and with it its last file
	require.NoError(t, chromedp.Do(ctx))
	return ctx
}

// tab is a tab of the browser, in a room.
type tab struct {
	t     *testing.T
	ctx   context.Context
	close context.CancelFunc
}

func open(t *testing.T, browser context.Context, url string) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	b := &tab{t, ctx, cancel}
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(ctx)) // with the tab's own context: it lasts as long as that of its first use
	b.do(chromedp.Navigate(url))
	return b
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	require.NoError(b.t, chromedp.Do(ctx, steps...))
}

// becomes waits until a condition holds in the page. One that cannot be asked just then, as
// the page is being replaced by another, does not hold yet.
func (b *tab) becomes(condition string) {
	b.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		holds, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](fmt.Sprintf("Boolean(%s)", condition)))
		if err == nil && holds {
			return
		}
		if time.Now().After(deadline) {
			says, _ := chromedp.Run(b.ctx, chromedp.Text("body"))
			require.FailNow(b.t, "in vain", "waiting for %s: %v; the page says:\n%s", condition, err, says)
		}
	}
}

// shows waits until an element has the text.
func (b *tab) shows(id, text string) {
	b.t.Helper()
	b.becomes(fmt.Sprintf("document.getElementById(%q).textContent === %q", id, text))
}

// counts waits until the room shows these numbers, and its row in the list does.
func (b *tab) counts(room string, connections, members int) {
	b.t.Helper()
	b.shows("connections", strconv.Itoa(connections))
	b.shows("members", strconv.Itoa(members))
	b.lists(room, connections, members)
}

// lists waits until the list of rooms shows these numbers.
func (b *tab) lists(room string, connections, members int) {
	b.t.Helper()
	want := fmt.Sprintf("%s: %d connected, %d present", room, connections, members)
	b.becomes(fmt.Sprintf("[...document.querySelectorAll('#rooms a')].some((a) => a.ariaLabel === %q)", want))
}

// program is the chat server as a user has it: a process that can be killed.
type program struct {
	t      *testing.T
	binary string
	host   string
	cmd    *exec.Cmd
}

func (p *program) start() {
	p.t.Helper()
	p.cmd = exec.Command(p.binary, "-addr", p.host)
	stderr, err := p.cmd.StderrPipe()
	require.NoError(p.t, err)
	require.NoError(p.t, p.cmd.Start())
	lines := bufio.NewReader(stderr)
	listening := regexp.MustCompile(`listening on (\S+)`)
	for {
		line, err := lines.ReadString('\n')
		require.NoError(p.t, err)
		if m := listening.FindStringSubmatch(line); m != nil {
			p.host = m[1] // the same port when it is started again
			return
		}
	}
}

func (p *program) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// The page, as its visitors use it.
func TestPageInABrowser(t *testing.T) {
	browser := chromium(t)
	p := &program{t: t, binary: filepath.Join(t.TempDir(), "chat"), host: "127.0.0.1:0"}
	out, err := exec.Command("go", "build", "-o", p.binary, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	p.start()
	t.Cleanup(func() { p.kill() })

	// Two tabs are two connections, and nobody is present.
	const room = "night owls"
	url := "http://" + p.host + "/#night%20owls"
	one := open(t, browser, url)
	one.counts(room, 1, 0)
	two := open(t, browser, url)
	one.counts(room, 2, 0)
	two.counts(room, 2, 0)
	one.shows("roomTitle", room)

	// Who enters is a member, and may talk. By keyboard alone.
	one.do(chromedp.SendKeys("#nickname", "alice"+kb.Enter))
	one.counts(room, 2, 1)
	two.counts(room, 2, 1)
	one.do(chromedp.SendKeys("#text", "hello <b>you</b>"+kb.Enter))
	two.becomes(`document.querySelector("#log .text")?.textContent === "hello <b>you</b>"`)
	two.do(chromedp.Click("#nickname"), chromedp.SendKeys("#nickname", "bob"), chromedp.Click("#enterForm button"))
	one.counts(room, 2, 2)
	two.do(chromedp.Click("#leave"))
	one.counts(room, 2, 1)

	// Who is in no room sees them all.
	lobby := open(t, browser, "http://"+p.host+"/")
	lobby.lists(room, 2, 1)
	lobby.lists("lobby", 0, 0)
	lobby.shows("allConnections", "2")
	lobby.becomes(`document.querySelector("#rooms .name").textContent === "night owls"`) // the most popular
	lobby.becomes(`document.querySelector("#hot .name")?.textContent === "night owls" && document.querySelector("#hot .heat").textContent === "▲ 2"`)
	lobby.do(chromedp.SendKeys("#openName", "a/b ü"+kb.Enter))
	lobby.counts("a/b ü", 1, 0)
	one.lists("a/b ü", 1, 0)
	lobby.do(chromedp.KeyEvent(kb.Escape))
	one.lists(room, 2, 1)
	lobby.becomes(`location.hash === "" && getComputedStyle(document.getElementById("room")).display === "none"`)

	// A server that is killed takes everybody along, and finds them again when it is back.
	p.kill()
	one.becomes(`document.getElementById("status").textContent !== ""`)
	lobby.becomes(`document.getElementById("lost").textContent !== ""`)
	p.start()
	one.counts(room, 2, 1) // alice is present without having done a thing
	two.counts(room, 2, 1)
	one.shows("status", "")
	lobby.shows("lost", "")
	lobby.lists(room, 2, 1)

	// A tab that is closed is a connection less, and its member.
	one.close()
	two.counts(room, 1, 0)
}

// The lines that documentation shows, as written, on a blank page.
func TestClientLinesOnABlankPage(t *testing.T) {
	browser := chromium(t)
	const lines = `import { connect } from "/occupancy/occupancy.js";
const rooms = connect("/occupancy").rooms;
const room = await rooms.get("lobby");
const { unsubscribe } = room.occupancy.subscribe((event) => { console.log(event); });
const latest = room.occupancy.current();     // undefined until the first event
const occupancy = await room.occupancy.get(); // rejects with a clear Error
unsubscribe();
`
	// Unsubscribing is put off until the event has come, and what the lines got is looked at.
	script := strings.Replace(lines, "unsubscribe();\n", `while (!room.occupancy.current()) await new Promise((resolve) => setTimeout(resolve));
unsubscribe();
globalThis.got = { latest: typeof latest, occupancy, current: room.occupancy.current() };
`, 1)
	engine := occupancy.New()
	require.NoError(t, engine.Join("lobby"))
	mux := http.NewServeMux()
	mux.Handle("/occupancy/", http.StripPrefix("/occupancy", occupancyhttp.NewHandler(engine)))
	for path, script := range map[string]string{
		"/as-written": lines + "globalThis.ran = true;\n",
		"/waiting":    script,
		"/staying":    strings.Replace(lines, "unsubscribe();\n", "globalThis.room = room;\n", 1),
	} {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = fmt.Fprintf(w, `<!doctype html><link rel="icon" href="data:,"><script type="module">%s</script>`, script)
		})
	}
	site := httptest.NewServer(mux)
	defer site.Close()
	defer engine.Close() // first: the site waits for its streams

	blank := open(t, browser, "about:blank")
	console := chromedp.Console(blank.ctx)
	streams := func(n int) {
		t.Helper()
		require.Eventually(t, func() bool { return engine.Stats().Subscriptions == n }, 30*time.Second, time.Millisecond)
	}
	blank.do(chromedp.Navigate(site.URL + "/as-written"))
	blank.becomes("globalThis.ran")
	streams(0)
	blank.do(chromedp.Navigate(site.URL + "/waiting"))
	blank.becomes("Boolean(globalThis.got)")
	got, err := chromedp.Run(blank.ctx, chromedp.Evaluate[string]("JSON.stringify(got)"))
	require.NoError(t, err)
	require.JSONEq(t, `{"latest":"undefined","occupancy":{"connections":1,"presenceMembers":0},
		"current":{"type":"occupancy.updated","occupancy":{"connections":1,"presenceMembers":0}}}`, got)
	for message, err := range console {
		require.NoError(t, err)
		require.Equal(t, chromedp.ConsoleType("log"), message.Type, message.Text)
		require.Contains(t, message.Text, "occupancy.updated")
		break
	}
	streams(0)

	// A page that is left has no stream, though the browser keeps it for coming back.
	blank.do(chromedp.Navigate(site.URL + "/staying"))
	streams(1)
	blank.do(chromedp.Navigate("about:blank"))
	streams(0)
	// It loads nothing, so there is no load to wait for; and it comes after the answer, which
	// has no page to come from otherwise.
	blank.do(chromedp.Evaluate[chromedp.Void]("void setTimeout(() => history.back())"))
	streams(1)
}
