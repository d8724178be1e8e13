package hooks

import "github.com/occupancy/occupancy"

// newCallbackServer returns the handler of "GET /ws".
func newCallbackServer(engine *occupancy.Engine) *callbackServer {
	server := &callbackServer{}
	// begin: callbacks
	server.onConnection = func(client *callbackClient) {
		session := engine.Session(client.userID)
		client.On("join", func(room string) {
			if err := session.Join(room); err != nil {
				client.Disconnect()
			}
		})
		client.On("leave", func(room string) { _ = session.Leave(room) })
		client.On("disconnect", func(string) { session.Close() })
	}
	// end: callbacks
	return server
}
