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

func TestClientFiles_ETagAndCaching(t *testing.T) {
	h := http.StripPrefix("/occupancy", occupancyhttp.NewHandler(newEngine(t)))
	tags := map[string]string{}
	for path, file := range map[string]string{
		"/occupancy.js":   "client/occupancy.js",
		"/occupancy.d.ts": "client/occupancy.d.ts",
		"/rooms.js":       "client/rooms.js",
		"/rooms.d.ts":     "client/rooms.d.ts",
	} {
		want, err := os.ReadFile(file)
		must(t, err)
		resp := serve(h, http.MethodGet, "/occupancy"+path)
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusOK || string(body) != string(want) {
			t.Errorf("%s: %s, %d bytes, want those of %s", path, resp.Status, len(body), file)
		}
		contentType := "text/javascript; charset=utf-8"
		if strings.HasSuffix(file, ".ts") {
			contentType = "application/typescript; charset=utf-8"
		}
		if got := resp.Header.Get("Content-Type"); got != contentType {
			t.Errorf("%s: Content-Type %q", path, got)
		}
		if got := resp.Header.Get("Cache-Control"); got != "no-cache" { // revalidated, so that no page runs an old client for a day
			t.Errorf("%s: Cache-Control %q", path, got)
		}
		tag := resp.Header.Get("ETag")
		if len(tag) < 10 || tag[0] != '"' || tags[file] != "" && tags[file] != tag {
			t.Errorf("%s: ETag %s, previously %s", path, tag, tags[file])
		}
		tags[file] = tag

		r := httptest.NewRequest(http.MethodGet, "/occupancy"+path, nil)
		r.Header.Set("If-None-Match", `"other", `+tag)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusNotModified || w.Body.Len() != 0 || w.Header().Get("ETag") != tag {
			t.Errorf("%s: status %d for a client that has the file, %d bytes", path, w.Code, w.Body.Len())
		}
	}
	if tags["client/occupancy.js"] == tags["client/occupancy.d.ts"] {
		t.Error("different files have the same ETag")
	}
}
