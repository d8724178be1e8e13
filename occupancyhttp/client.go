package occupancyhttp

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"time"
)

//go:embed client/occupancy.js client/occupancy.d.ts client/rooms.js client/rooms.d.ts
var clientFiles embed.FS

// assets contains the files that the handler serves, by path.
var assets = map[string]*asset{
	"occupancy.js":   newAsset("occupancy.js", "text/javascript; charset=utf-8"),
	"occupancy.d.ts": newAsset("occupancy.d.ts", "application/typescript; charset=utf-8"),
	"rooms.js":       newAsset("rooms.js", "text/javascript; charset=utf-8"),
	"rooms.d.ts":     newAsset("rooms.d.ts", "application/typescript; charset=utf-8"),
}

// asset is a static file.
type asset struct {
	contentType string
	body        []byte
	hash        string // of body
}

func newAsset(name, contentType string) *asset {
	body, err := clientFiles.ReadFile("client/" + name)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(body)
	return &asset{contentType: contentType, body: body, hash: hex.EncodeToString(sum[:8])}
}

// ClientPath returns the path of the browser client below the prefix of the handler. The
// path contains a hash of the file: "/occupancy.js?v=0123456789abcdef". Browsers may cache
// the file permanently under this path. Under the path "/occupancy.js" they revalidate it
// with the ETag each time, so that no page runs an old client after an update of the server.
func ClientPath() string { return "/occupancy.js?v=" + assets["occupancy.js"].hash }

// serve writes the file, or status 304 if the client has the file already.
func (a *asset) serve(w http.ResponseWriter, r *http.Request) error {
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("ETag", `"`+a.hash+`"`)
	h.Set("X-Content-Type-Options", "nosniff")
	if r.URL.Query().Get("v") == a.hash {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.body))
	return nil
}
