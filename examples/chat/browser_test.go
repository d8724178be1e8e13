package main

import (
	"bufio"
	"context"
	"fmt"
	"html"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// chromium starts a browser. Without Chromium it skips the test, or fails it if CI=true.
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
		const missing = "Chromium is not installed"
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
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) }) // waits until the browser has exited
	require.NoError(t, chromedp.Do(ctx))
	return ctx
}

// tab is a tab of the browser.
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
	require.NoError(t, chromedp.Do(ctx)) // the tab is closed when the context of its first use is done
	b.do(chromedp.Navigate(url))
	return b
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	require.NoError(b.t, chromedp.Do(ctx, steps...))
}

// waitTrue waits until a JavaScript condition is true. Errors count as false, because the
// condition cannot be evaluated while the page is loading.
func (b *tab) waitTrue(condition string) {
	b.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](fmt.Sprintf("Boolean(%s)", condition)))
		if err == nil && ok {
			return
		}
		if time.Now().After(deadline) {
			text, _ := chromedp.Run(b.ctx, chromedp.Text("body"))
			require.FailNow(b.t, "timeout", "waiting for %s: %v; the page shows:\n%s", condition, err, text)
		}
	}
}

// waitText waits until an element has the text.
func (b *tab) waitText(id, text string) {
	b.t.Helper()
	b.waitTrue(fmt.Sprintf("document.getElementById(%q).textContent === %q", id, text))
}

// waitCounts waits until the open room and the list of rooms show these counts.
func (b *tab) waitCounts(room string, connections, members int) {
	b.t.Helper()
	b.waitText("connections", strconv.Itoa(connections))
	b.waitText("members", strconv.Itoa(members))
	b.waitListed(room, connections, members)
}

// waitListed waits until the list of rooms shows these counts.
func (b *tab) waitListed(room string, connections, members int) {
	b.t.Helper()
	want := fmt.Sprintf("%s %d connected, %d present", room, connections, members)
	b.waitTrue(fmt.Sprintf(`[...document.querySelectorAll("#rooms a")].some((a) => a.textContent.replace(/\s+/g, " ") === %q)`, want))
}

// program is a process of the chat server.
type program struct {
	t      *testing.T
	binary string
	addr   string
	cmd    *exec.Cmd
}

// newProgram builds the chat server and starts it.
func newProgram(t *testing.T) *program {
	t.Helper()
	p := &program{t: t, binary: build(t, "."), addr: "127.0.0.1:0"}
	p.start()
	t.Cleanup(func() { p.kill() })
	return p
}

func (p *program) start() {
	p.t.Helper()
	p.cmd = exec.Command(p.binary, "-addr", p.addr)
	stderr, err := p.cmd.StderrPipe()
	require.NoError(p.t, err)
	require.NoError(p.t, p.cmd.Start())
	lines := bufio.NewReader(stderr)
	listening := regexp.MustCompile(`listening on (\S+)`)
	for {
		line, err := lines.ReadString('\n')
		require.NoError(p.t, err)
		if m := listening.FindStringSubmatch(line); m != nil {
			p.addr = m[1] // a restarted server uses the same port
			return
		}
	}
}

// kill kills the process. A second call has no effect.
func (p *program) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

func TestPage_TwoTabs(t *testing.T) {
	browser := chromium(t)
	p := newProgram(t)

	// Two tabs are two connections and no member.
	const room = "night owls"
	url := "http://" + p.addr + "/#night%20owls"
	one := open(t, browser, url)
	one.waitCounts(room, 1, 0)
	two := open(t, browser, url)
	one.waitCounts(room, 2, 0)
	two.waitCounts(room, 2, 0)
	one.waitText("roomTitle", room)

	// A tab that enters a nickname is a member and can send messages. The keyboard is sufficient.
	one.do(chromedp.SendKeys("#nickname", "alice"+kb.Enter))
	one.waitCounts(room, 2, 1)
	two.waitCounts(room, 2, 1)
	one.do(chromedp.SendKeys("#text", "hello <b>all</b>"+kb.Enter))
	two.waitTrue(`document.querySelector("#log .text")?.textContent === "hello <b>all</b>"`)
	two.do(chromedp.Click("#nickname"), chromedp.SendKeys("#nickname", "bob"), chromedp.Click("#enterForm button"))
	one.waitCounts(room, 2, 2)
	two.do(chromedp.Click("#exit"))
	one.waitCounts(room, 2, 1)

	// A tab without an open room shows the list of rooms.
	third := open(t, browser, "http://"+p.addr+"/")
	third.waitListed(room, 2, 1)
	third.waitListed("lobby", 0, 0)
	third.waitText("allConnections", "2")
	two.do(chromedp.SendKeys("#nickname", "bob"+kb.Enter))
	third.waitText("allMembers", "2")
	third.waitTrue(`/^\d+ ms$/.test(document.getElementById("latency").textContent)`)
	two.do(chromedp.Click("#exit"))
	third.waitTrue(`document.querySelector("#rooms .name").textContent === "night owls"`) // the most popular room is first
	third.waitTrue(`document.querySelector("#trendingList .name")?.textContent === "night owls"`)
	third.do(chromedp.SendKeys("#openName", "a/b ü"+kb.Enter))
	third.waitCounts("a/b ü", 1, 0)
	one.waitListed("a/b ü", 1, 0)
	third.do(chromedp.KeyEvent(kb.Escape))
	one.waitListed(room, 2, 1)
	third.waitTrue(`location.hash === "" && getComputedStyle(document.getElementById("room")).display === "none"`)
	third.waitTrue(`document.activeElement.id === "roomListTitle"`)

	// Closing a tab removes its connection and its member.
	one.close()
	two.waitCounts(room, 1, 0)
}

// recordCurrent makes a tab record every number of connections that an element shows while the page
// does not look stale.
func (b *tab) recordCurrent(id string) {
	b.do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`{
		window.shown = [];
		const record = () => {
			if (!document.body.classList.contains("stale")) shown.push(document.getElementById(%q).textContent);
			requestAnimationFrame(record);
		};
		record();
	}`, id)))
}

// While the server is down, the pages do not show the old counts as current, and afterwards they
// soon show the new counts. The counts change while the server is down: otherwise a page that
// shows the old ones would look right.
func TestPage_CountsChangeWhileServerIsDown(t *testing.T) {
	browser := chromium(t)
	p := newProgram(t)
	url := "http://" + p.addr + "/#lobby"
	one := open(t, browser, url)
	two := open(t, browser, url)
	third := open(t, browser, "http://"+p.addr+"/")
	one.do(chromedp.SendKeys("#nickname", "alice"+kb.Enter))
	for _, b := range []*tab{one, two} {
		b.waitCounts("lobby", 2, 1)
	}
	third.waitListed("lobby", 2, 1)
	third.waitText("allConnections", "2")
	for _, b := range []*tab{one, two, third} {
		b.waitTrue(`!document.body.classList.contains("stale")`)
	}

	crash := time.Now()
	p.kill()
	for _, b := range []*tab{one, third} {
		b.waitTrue(`document.body.classList.contains("stale") && document.getElementById("status").textContent.startsWith("Not connected to the server.")`)
	}
	one.waitText("connections", "2") // the last count that was received
	one.waitTrue(`document.querySelector("#plot .line.connections").getAttribute("d").match(/H[\d.]+$/)[0] !== "H1000"`)
	one.recordCurrent("connections")
	third.recordCurrent("allConnections")
	two.do(chromedp.Navigate("about:blank"))
	p.start()

	one.waitCounts("lobby", 1, 1) // the tab has connected with its nickname
	third.waitListed("lobby", 1, 1)
	third.waitText("allConnections", "1")
	for _, b := range []*tab{one, third} {
		b.waitTrue(`!document.body.classList.contains("stale") && document.getElementById("status").textContent === ""`)
		b.waitTrue(`shown.length > 0`)
		b.waitTrue(`!shown.includes("2")`)
	}
	t.Logf("current again %v after the crash", time.Since(crash))
	one.waitText("roomStatus", "")
	// The plot has a gap: each of its lines consists of two parts.
	one.waitTrue(`document.querySelector("#plot .line.connections").getAttribute("d").match(/M/g).length === 2`)
	third.waitTrue(`document.querySelector("#allPlot .line.connections").getAttribute("d").match(/M/g).length === 2`)
}

// The totals are those of all rooms, also of those that the list does not contain. The list is
// sorted by the numbers that it shows, also while the focus is in the list.
func TestPage_TotalsAndOrder(t *testing.T) {
	browser := chromium(t)
	s := start(t, longTimeouts)
	const rooms = 120
	for i := range rooms {
		s.dial(fmt.Sprintf("room-%d", i))
	}
	page := open(t, browser, "http://"+s.addr+"/")
	page.waitText("totalRooms", strconv.Itoa(rooms))
	page.waitText("allConnections", strconv.Itoa(rooms))

	page.waitTrue(`document.querySelectorAll("#rooms li").length === 100`)
	page.do(chromedp.Evaluate[chromedp.Void](`{ window.focused = document.querySelector("#rooms li:nth-child(3) a"); focused.focus(); }`))
	for range 2 {
		s.dial("room-7")
		s.dial("music")
	}
	s.dial("room-7")
	page.waitListed("room-7", 4, 0)
	page.waitListed("music", 2, 0)
	page.waitTrue(`[...document.querySelectorAll("#rooms .name")].slice(0, 2).map((name) => name.textContent).join() === "room-7,music"`)
	page.waitTrue(`document.activeElement === focused`)
	page.waitTrue(`document.getElementById("scenes").hidden`) // the server has no bots
}

// A room that the server refuses has a message, and the page does not try to connect to it. Names
// that are special in URLs are allowed.
func TestPage_RefusedAndSpecialNames(t *testing.T) {
	browser := chromium(t)
	s := start(t, longTimeouts)
	refused := open(t, browser, "http://"+s.addr+"/#"+strings.Repeat("x", 1025))
	refused.waitTrue(`document.getElementById("roomStatus").textContent.startsWith("The server refuses this room (invalid room name: must be 1 to 1024 bytes")`)
	refused.waitTrue(`getComputedStyle(document.getElementById("sayForm").parentElement).display === "none"`)
	refused.waitText("status", "")
	require.Zero(t, s.engine.Stats().Total)
	refused.do(chromedp.Evaluate[chromedp.Void](`location.hash = "#.."`))
	refused.waitCounts("..", 1, 0)
	refused.waitText("roomStatus", "")
	refused.do(chromedp.Evaluate[chromedp.Void](`location.hash = "#100%"`))
	refused.waitCounts("100%", 1, 0)
	refused.close()
}

// A page that was just opened shows the last minutes of each plot.
func TestPage_HistoryFillsPlots(t *testing.T) {
	browser := chromium(t)
	s := start(t, longTimeouts)
	now := time.Now()
	s.history.mu.Lock()
	s.history.totals = samples{{now.Add(-4 * time.Minute), 7, 3, nil}}
	s.history.rooms["lobby"] = &roomHistory{samples{{now.Add(-4 * time.Minute), 9, 5, nil}}, now}
	s.history.mu.Unlock()
	page := open(t, browser, "http://"+s.addr+"/#lobby")
	page.waitTrue(`document.querySelector("#room .from").textContent === "4 min ago"`)
	page.waitTrue(`document.querySelector("#room .top").textContent === "10"`)
	page.do(chromedp.KeyEvent(kb.Escape))
	page.waitTrue(`document.querySelector("#allPlot .line.connections").getAttribute("d").startsWith("M0.0 ")`)
	page.close()
}

// Each link, button and input can be reached and clicked in small windows, also at a zoom of
// 400 % and with long names, and nothing is wider than the window.
func TestPage_FitsSmallWindows(t *testing.T) {
	browser := chromium(t)
	s := start(t, longTimeouts)
	for range 3 {
		s.dial("lobby")
	}
	page := open(t, browser, "http://"+s.addr+"/")
	page.do(chromedp.Evaluate[chromedp.Void](`localStorage.setItem("nickname", "W".repeat(40))`))
	for _, size := range [][2]int64{{320, 256}, {390, 844}, {844, 390}, {1280, 800}} {
		page.do(chromedp.EmulateViewport(size[0], size[1]))
		for _, fragment := range []string{"", "games", strings.Repeat("W", 200), "%D7%A9%20%E2%80%AEabc", strings.Repeat("x", 1025)} {
			page.do(chromedp.Navigate("http://"+s.addr+"/#"+fragment), chromedp.Reload())
			page.waitListed("lobby", 3, 0)
			page.waitText("status", "")
			page.waitTrue(`!document.getAnimations().length`)
			unreachable, err := chromedp.Run(page.ctx, chromedp.Evaluate[[]string](`[...document.querySelectorAll("a, button, input, summary")].filter((element) => {
				if (!element.checkVisibility()) return false;
				element.scrollIntoView({ block: "center", inline: "center" });
				const { left, right, top, bottom } = element.getBoundingClientRect();
				const hit = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
				return !element.contains(hit);
			}).map((element) => element.outerHTML.slice(0, 80))`))
			require.NoError(t, err)
			require.Empty(t, unreachable, "%v #%.20s", size, fragment)
			page.waitTrue(`document.documentElement.scrollWidth <= innerWidth`)
		}
	}
	page.close()
}

// The page shows the code of examples/minimal.
func TestPage_ShowsCodeOfMinimal(t *testing.T) {
	program, err := os.ReadFile("../minimal/main.go")
	require.NoError(t, err)
	_, code, _ := strings.Cut(string(program), "// begin: minimal\n\t")
	code, _, _ = strings.Cut(code, "\n\t// end: minimal")
	index, err := fs.ReadFile(page, "index.html")
	require.NoError(t, err)
	_, shown, _ := strings.Cut(string(index), "<pre tabindex=\"0\">")
	shown, _, _ = strings.Cut(shown, "</pre>")
	require.Equal(t, strings.ReplaceAll(code, "\n\t", "\n"), html.UnescapeString(shown))
}
