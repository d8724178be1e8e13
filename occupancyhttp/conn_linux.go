package occupancyhttp

import "syscall"

// Package syscall does not define these options of tcp(7).
const (
	tcpUserTimeout  = 18
	tcpNotSentLowat = 25
)

// notSentLowat is the number of bytes that the kernel buffers in addition to those that it
// has sent already.
const notSentLowat = 4096

func setTCPOptions(raw syscall.RawConn) bool {
	var err error
	controlErr := raw.Control(func(fd uintptr) {
		if err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotSentLowat, notSentLowat); err != nil {
			return
		}
		err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(writeTimeout.Milliseconds()))
	})
	return controlErr == nil && err == nil
}
