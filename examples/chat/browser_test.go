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
	want := fmt.Sprintf("%s: %d connected, %d present", room, connections, members)
	b.waitTrue(fmt.Sprintf("[...document.querySelectorAll('#rooms a')].some((a) => a.ariaLabel === %q)", want))
}

// program is a process of the chat server.
type program struct {
	t      *testing.T
	binary string
	addr   string
	cmd    *exec.Cmd
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

func (p *program) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

func TestPage_TwoTabs(t *testing.T) {
	browser := chromium(t)
	p := &program{t: t, binary: filepath.Join(t.TempDir(), "chat"), addr: "127.0.0.1:0"}
	out, err := exec.Command("go", "build", "-o", p.binary, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	p.start()
	t.Cleanup(func() { p.kill() })

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
	third.waitTrue(`document.querySelector("#rooms .name").textContent === "night owls"`) // the most popular room is first
	third.waitTrue(`document.querySelector("#trendingList .name")?.textContent === "night owls" && document.querySelector("#trendingList .arrivals").textContent === "▲ 2"`)
	third.do(chromedp.SendKeys("#openName", "a/b ü"+kb.Enter))
	third.waitCounts("a/b ü", 1, 0)
	one.waitListed("a/b ü", 1, 0)
	third.do(chromedp.KeyEvent(kb.Escape))
	one.waitListed(room, 2, 1)
	third.waitTrue(`location.hash === "" && getComputedStyle(document.getElementById("room")).display === "none"`)

	// After a crash of the server the tabs show an error. After a restart they reconnect.
	p.kill()
	one.waitTrue(`document.getElementById("roomStatus").textContent !== ""`)
	third.waitTrue(`document.getElementById("listStatus").textContent !== ""`)
	p.start()
	one.waitCounts(room, 2, 1) // the first tab has sent "enter" again
	two.waitCounts(room, 2, 1)
	one.waitText("roomStatus", "")
	third.waitText("listStatus", "")
	third.waitListed(room, 2, 1)

	// Closing a tab removes its connection and its member.
	one.close()
	two.waitCounts(room, 1, 0)
}
