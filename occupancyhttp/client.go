package occupancyhttp

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"strings"
	"time"
)

//go:embed client/occupancy.js client/occupancy.d.ts client/rooms.js client/rooms.d.ts
var clientFiles embed.FS

// fileServer returns the function that serves a file of the browser client, or nil if the
// client has no such file. Browsers revalidate the file each time, so that no page runs an
// old client after an update of the server.
func fileServer(name string) func(http.ResponseWriter, *http.Request) error {
	body, err := clientFiles.ReadFile("client/" + name)
	if err != nil {
		return nil
	}
	contentType := "text/javascript; charset=utf-8"
	if strings.HasSuffix(name, ".ts") {
		contentType = "application/typescript; charset=utf-8"
	}
	return func(w http.ResponseWriter, r *http.Request) error {
		sum := sha256.Sum256(body)
		h := w.Header()
		h.Set("Content-Type", contentType)
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", `"`+hex.EncodeToString(sum[:8])+`"`)
		h.Set("X-Content-Type-Options", "nosniff")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
		return nil
	}
}
