package natscluster_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// A program that only connects to NATS must not contain a server and must not require the
// server's module.
func TestPackage_DoesNotDependOnServer(t *testing.T) {
	deps, err := exec.Command("go", "list", "-deps", "./...").Output()
	require.NoError(t, err)
	require.Contains(t, string(deps), "github.com/nats-io/nats.go\n")
	require.NotContains(t, string(deps), "nats-server")
	mod, err := os.ReadFile("go.mod")
	require.NoError(t, err)
	require.Contains(t, string(mod), "github.com/nats-io/nats.go ")
	require.NotContains(t, string(mod), "nats-server")
}
