package occupancyhttp_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/occupancy/occupancy/occupancyhttp"
)

func TestTheClientIsServedWithAnETagAndCachedByContent(t *testing.T) {
	h := http.StripPrefix("/occupancy", occupancyhttp.NewHandler(newEngine(t)))
	tags := map[string]string{}
	for path, file := range map[string]string{
		"/occupancy.js":             "client/occupancy.js",
		occupancyhttp.ClientPath():  "client/occupancy.js",
		"/occupancy.js?v=some-old1": "client/occupancy.js",
		"/occupancy.d.ts":           "client/occupancy.d.ts",
	} {
		want, err := os.ReadFile(file)
		must(t, err)
		resp := ask(h, http.MethodGet, "/occupancy"+path)
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusOK || string(body) != string(want) {
			t.Errorf("%s: %s, %d bytes, want those of %s", path, resp.Status, len(body), file)
		}
		mime := "text/javascript; charset=utf-8"
		if strings.HasSuffix(file, ".ts") {
			mime = "application/typescript; charset=utf-8"
		}
		if got := resp.Header.Get("Content-Type"); got != mime {
			t.Errorf("%s: Content-Type %q", path, got)
		}
		caching := "public, max-age=86400"
		if path == occupancyhttp.ClientPath() {
			caching = "public, max-age=31536000, immutable"
		}
		if got := resp.Header.Get("Cache-Control"); got != caching {
			t.Errorf("%s: Cache-Control %q, want %q", path, got, caching)
		}
		tag := resp.Header.Get("ETag")
		if len(tag) < 10 || tag[0] != '"' || tags[file] != "" && tags[file] != tag {
			t.Errorf("%s: ETag %s, before %s", path, tag, tags[file])
		}
		tags[file] = tag

		r := httptest.NewRequest(http.MethodGet, "/occupancy"+path, nil)
		r.Header.Set("If-None-Match", `"other", `+tag)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusNotModified || w.Body.Len() != 0 || w.Header().Get("ETag") != tag {
			t.Errorf("%s: %d for who has it, %d bytes", path, w.Code, w.Body.Len())
		}
	}
	if tags["client/occupancy.js"] == tags["client/occupancy.d.ts"] {
		t.Error("the same ETag for different contents")
	}
}
