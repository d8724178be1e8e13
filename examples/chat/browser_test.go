package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
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
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) }) // waits until the browser has exited and written its last file
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
	require.NoError(t, chromedp.Do(ctx)) // the tab lives as long as the context of its first use
	b.do(chromedp.Navigate(url))
	return b
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
	defer cancel()
	require.NoError(b.t, chromedp.Do(ctx, steps...))
}

// becomes waits until a JavaScript condition is true. While the page is loading, the
// condition cannot be evaluated and counts as false.
func (b *tab) becomes(condition string) {
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
	b.becomes(fmt.Sprintf("document.getElementById(%q).textContent === %q", id, text))
}

// waitCounts waits until the room and its row in the list show these counts.
func (b *tab) waitCounts(room string, connections, members int) {
	b.t.Helper()
	b.waitText("connections", strconv.Itoa(connections))
	b.waitText("members", strconv.Itoa(members))
	b.waitListed(room, connections, members)
}

// waitListed waits until the list of rooms shows these counts.
func (b *tab) waitListed(room string, connections, members int) {
	b.t.Helper()
	want := fmt.Sprintf("%s: %d connected, %d present", room, connections, members)
	b.becomes(fmt.Sprintf("[...document.querySelectorAll('#rooms a')].some((a) => a.ariaLabel === %q)", want))
}

// program is the chat server as a process.
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
			p.host = m[1] // a restart uses the same port
			return
		}
	}
}

func (p *program) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

func TestPage(t *testing.T) {
	browser := chromium(t)
	p := &program{t: t, binary: filepath.Join(t.TempDir(), "chat"), host: "127.0.0.1:0"}
	out, err := exec.Command("go", "build", "-o", p.binary, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	p.start()
	t.Cleanup(func() { p.kill() })

	// Two tabs are two connections and no member.
	const room = "night owls"
	url := "http://" + p.host + "/#night%20owls"
	one := open(t, browser, url)
	one.waitCounts(room, 1, 0)
	two := open(t, browser, url)
	one.waitCounts(room, 2, 0)
	two.waitCounts(room, 2, 0)
	one.waitText("roomTitle", room)

	// A tab that enters is a member and can send messages, with the keyboard only.
	one.do(chromedp.SendKeys("#nickname", "alice"+kb.Enter))
	one.waitCounts(room, 2, 1)
	two.waitCounts(room, 2, 1)
	one.do(chromedp.SendKeys("#text", "hello <b>all</b>"+kb.Enter))
	two.becomes(`document.querySelector("#log .text")?.textContent === "hello <b>all</b>"`)
	two.do(chromedp.Click("#nickname"), chromedp.SendKeys("#nickname", "bob"), chromedp.Click("#enterForm button"))
	one.waitCounts(room, 2, 2)
	two.do(chromedp.Click("#exit"))
	one.waitCounts(room, 2, 1)

	// A tab without a room shows all rooms.
	lobby := open(t, browser, "http://"+p.host+"/")
	lobby.waitListed(room, 2, 1)
	lobby.waitListed("lobby", 0, 0)
	lobby.waitText("allConnections", "2")
	lobby.becomes(`document.querySelector("#rooms .name").textContent === "night owls"`) // the most popular
	lobby.becomes(`document.querySelector("#trendingList .name")?.textContent === "night owls" && document.querySelector("#trendingList .heat").textContent === "▲ 2"`)
	lobby.do(chromedp.SendKeys("#openName", "a/b ü"+kb.Enter))
	lobby.waitCounts("a/b ü", 1, 0)
	one.waitListed("a/b ü", 1, 0)
	lobby.do(chromedp.KeyEvent(kb.Escape))
	one.waitListed(room, 2, 1)
	lobby.becomes(`location.hash === "" && getComputedStyle(document.getElementById("room")).display === "none"`)

	// The tabs notice that the server is killed, and reconnect after its restart.
	p.kill()
	one.becomes(`document.getElementById("status").textContent !== ""`)
	lobby.becomes(`document.getElementById("lost").textContent !== ""`)
	p.start()
	one.waitCounts(room, 2, 1) // alice has entered again automatically
	two.waitCounts(room, 2, 1)
	one.waitText("status", "")
	lobby.waitText("lost", "")
	lobby.waitListed(room, 2, 1)

	// Closing a tab removes its connection and its member.
	one.close()
	two.waitCounts(room, 1, 0)
}
