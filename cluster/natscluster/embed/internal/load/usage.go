//go:build unix

package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/pprof"
	"strings"
	"syscall"
	"time"
)

// cpu is what this process has used, of all cores together.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // of valid arguments there is none
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// writes is how often this process asked the system to write, or 0 where it does not tell.
func writes() (n int64) {
	b, _ := os.ReadFile("/proc/self/io") // Linux's
	_, count, _ := strings.Cut(string(b), "syscw: ")
	_, _ = fmt.Sscan(count, &n)
	return n
}

// profile begins a CPU profile of this process.
func profile(file string) (stop func(), err error) {
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close() // a profile that is cut short says so when it is read
	}, nil
}
