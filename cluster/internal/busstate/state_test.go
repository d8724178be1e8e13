package busstate

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
)

func TestState_ReportsChanges(t *testing.T) {
	var log bytes.Buffer
	s := New("NATS", slog.New(slog.NewTextHandler(&log, nil)))
	require.False(t, s.Connected())
	s.SetConnected("a")
	s.SetConnected("a")
	require.True(t, s.Connected())
	require.Equal(t, cluster.Connected, <-s.C())
	require.Empty(t, s.C())
	s.SetDisconnected()
	require.False(t, s.Connected())
	require.Equal(t, cluster.Disconnected, <-s.C())
	s.SetConnected("b")
	s.LogError("NATS error", errors.New("refused"))
	s.LogError("NATS error", errors.New("refused"))
	s.Stop()
	s.SetDisconnected()
	require.Equal(t, cluster.Connected, <-s.C())
	require.Empty(t, s.C())
	var lines []string
	for line := range strings.Lines(log.String()) {
		_, text, _ := strings.Cut(line, " level=")
		lines = append(lines, strings.TrimSpace(text))
	}
	require.Equal(t, []string{
		`INFO msg="connected to NATS" server=a`,
		`WARN msg="disconnected from NATS"`,
		`WARN msg="connected to NATS" server=b`, // so that a log of warnings does not end with "disconnected"
		`WARN msg="NATS error" error=refused`,
	}, lines)
}

func TestCheckPrefix(t *testing.T) {
	for _, valid := range []string{"occupancy", "a.b_c-1"} {
		require.NoError(t, CheckPrefix(valid))
	}
	for _, invalid := range []string{"", "a.*", "$SYS", "a..b", ".a", "a b"} {
		require.Error(t, CheckPrefix(invalid))
	}
}
