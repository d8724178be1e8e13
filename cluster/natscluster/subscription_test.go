package natscluster

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
)

// fakeServer accepts one connection and sends many messages for its first subscription at once.
func fakeServer(t *testing.T, messages int) (url string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = fmt.Fprint(conn, `INFO {"max_payload":1048576}`, "\r\n")
		for lines := bufio.NewScanner(conn); lines.Scan(); {
			switch line := strings.Fields(lines.Text()); line[0] {
			case "PING":
				_, _ = fmt.Fprint(conn, "PONG\r\n")
			case "SUB":
				message := fmt.Sprintf("MSG %s %s 0\r\n\r\n", line[1], line[2])
				_, _ = fmt.Fprint(conn, strings.Repeat(message, messages))
			}
		}
	}()
	return "nats://" + l.Addr().String()
}

// The NATS client reads many messages before the Bus can deliver them.
func TestBus_ReportsLossInNATSClient(t *testing.T) {
	defer func(size int) { queueSize = size }(queueSize)
	queueSize = 1
	const messages = 10_000
	b, err := Connect(t.Context(), fakeServer(t, messages))
	require.NoError(t, err)
	defer b.Close(t.Context())
	require.Equal(t, cluster.Connected, <-b.Events())
	out := make(chan cluster.Message, messages)
	_, err = b.Subscribe(t.Context(), []cluster.Subject{{Kind: cluster.KindDigest}}, out)
	require.NoError(t, err)
	require.Equal(t, cluster.Lossy, <-b.Events())
	require.Less(t, len(out), messages)
}
