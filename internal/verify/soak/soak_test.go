package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"
)

func TestSoak_ShortRunPasses(t *testing.T) {
	var out bytes.Buffer
	c := config{loadTime: 300 * time.Millisecond, total: time.Second, rooms: 100, interval: 10 * time.Millisecond, seed: 1}
	if err := run(t.Context(), c, &out); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	t.Logf("\n%s", &out)
}

// An interrupt ends the load, but not the checks.
func TestSoak_InterruptEndsTheRun(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, interrupt)
	var out bytes.Buffer
	c := config{loadTime: time.Hour, total: time.Hour, rooms: 100, interval: 10 * time.Millisecond, seed: 1}
	if err := run(ctx, c, &out); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	if !strings.Contains(out.String(), "interrupted") {
		t.Errorf("printed\n%s", &out)
	}
}
