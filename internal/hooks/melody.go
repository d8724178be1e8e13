package hooks

import (
	"net/http"

	"github.com/olahol/melody"

	"github.com/occupancy/occupancy"
)

// newMelody returns the melody server and the handler of "GET /ws/{room}".
func newMelody(engine *occupancy.Engine) (*melody.Melody, http.HandlerFunc) {
	m := melody.New()
	m.Config.PingPeriod, m.Config.PongWait, m.Config.WriteWait = pingPeriod, pongWait, writeWait
	m.HandleMessage(func(s *melody.Session, message []byte) { _ = s.Write(message) })

	// begin: melody
	m.HandleConnect(func(s *melody.Session) {
		lease, err := engine.Connect(s.Request.PathValue("room"))
		if err != nil {
			_ = s.CloseWithMsg(melody.FormatCloseMessage(melody.ClosePolicyViolation, err.Error())) // code 1008
			return
		}
		s.Set("lease", lease)
	})
	m.HandleDisconnect(func(s *melody.Session) { // melody calls this once, after HandleConnect
		if lease, ok := s.Get("lease"); ok {
			lease.(*occupancy.Lease).Close()
		}
	})
	// end: melody

	return m, func(w http.ResponseWriter, r *http.Request) { _ = m.HandleRequest(w, r) }
}
