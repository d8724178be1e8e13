package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Programs that use the root module must not contain a test dependency.
func TestRootModule_DependsOnXsyncOnly(t *testing.T) {
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}",
		".", "./occupancyhttp", "./occupancytest", "./trending", "./examples/minimal")
	list.Dir = "../.."
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := strings.Fields(string(out))
	slices.Sort(modules)
	want := []string{"github.com/occupancy/occupancy", "github.com/puzpuzpuz/xsync/v3"}
	if got := slices.Compact(modules); !slices.Equal(got, want) {
		t.Fatalf("the root module depends on %q, want %q", got, want)
	}
}
