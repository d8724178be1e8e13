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

// cpuTime returns the CPU time that this process has used, of all cores together.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // these arguments are valid
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// writeCalls returns the number of write system calls of this process. On systems other
// than Linux it returns 0.
func writeCalls() (n int64) {
	b, _ := os.ReadFile("/proc/self/io")
	_, count, _ := strings.Cut(string(b), "syscw: ")
	_, _ = fmt.Sscan(count, &n)
	return n
}

// startProfile starts a CPU profile of this process.
func startProfile(file string) (stop func(), err error) {
	f, err := os.Create(file)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close() // if the file is incomplete, the tool pprof reports an error
	}, nil
}
