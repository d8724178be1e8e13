package occupancyhttp

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the browser client
	"encoding/hex"
	"net/http"
	"time"
)

//go:embed client/occupancy.js
var clientScript []byte

//go:embed client/occupancy.d.ts
var clientTypes []byte

// assets are the files that the handler serves, by path.
var assets = map[string]*asset{
	"occupancy.js":   newAsset("text/javascript; charset=utf-8", clientScript),
	"occupancy.d.ts": newAsset("application/typescript; charset=utf-8", clientTypes),
}

// asset is a file known by a hash of its content.
type asset struct {
	mime string
	body []byte
	hash string
}

func newAsset(mime string, body []byte) *asset {
	sum := sha256.Sum256(body)
	return &asset{mime: mime, body: body, hash: hex.EncodeToString(sum[:8])}
}

// ClientPath is the browser client's path below the handler's prefix, with a hash of its
// content: "/occupancy.js?v=0123456789abcdef". What is fetched by it may be kept for ever,
// and is; by the bare path, "/occupancy.js", for a day, and is then asked for by its ETag.
func ClientPath() string { return "/occupancy.js?v=" + assets["occupancy.js"].hash }

func (a *asset) serve(w http.ResponseWriter, r *http.Request, _ string) error {
	h := w.Header()
	h.Set("Content-Type", a.mime)
	h.Set("ETag", `"`+a.hash+`"`)
	h.Set("X-Content-Type-Options", "nosniff")
	if r.URL.Query().Get("v") == a.hash {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "public, max-age=86400")
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.body))
	return nil
}
