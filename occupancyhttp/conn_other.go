//go:build !linux

package occupancyhttp

import "syscall"

func setTCPOptions(syscall.RawConn) bool { return false }
