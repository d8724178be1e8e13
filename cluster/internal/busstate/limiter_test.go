package busstate

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLimiter_AllowsEachTextOncePerInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Limiter
		require.True(t, l.Allow("refused"))
		require.False(t, l.Allow("refused"))
		require.True(t, l.Allow("unauthorized"))
		time.Sleep(interval)
		require.True(t, l.Allow("refused"))
	})
}

func TestLimiter_IgnoresEphemeralParts(t *testing.T) {
	var l Limiter
	require.True(t, l.Allow("read tcp 127.0.0.1:50001->127.0.0.1:4222: reset"))
	require.False(t, l.Allow("read tcp 127.0.0.1:50002->127.0.0.1:4222: reset"))
	require.True(t, l.Allow("read tcp 127.0.0.1:50002->127.0.0.1:4223: reset"))
	require.True(t, l.Allow("127.0.0.1:50003 - rid:7 - authentication error"))
	require.False(t, l.Allow("127.0.0.1:50004 - rid:8 - authentication error"))
	require.True(t, l.Allow("x509: certificate has expired: current time 2026-11-28T09:53:16Z is after 2026-01-01T00:00:00Z"))
	require.False(t, l.Allow("x509: certificate has expired: current time 2026-11-28T09:53:17Z is after 2026-01-01T00:00:00Z"))
}

func TestLimiter_BoundsRememberedTexts(t *testing.T) {
	var l Limiter
	for i := range 10 * maxTexts {
		require.True(t, l.Allow(fmt.Sprint("text ", i)))
		require.LessOrEqual(t, len(l.logged), maxTexts)
	}
}
