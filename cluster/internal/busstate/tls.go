package busstate

import (
	"crypto/tls"
	"errors"
	"net"
)

// TLSFailure reports whether one side of a connection has rejected the certificate of the other.
func TLSFailure(err error) bool {
	var invalid *tls.CertificateVerificationError
	var alert *net.OpError
	return errors.As(err, &invalid) || errors.As(err, &alert) && alert.Op == "remote error"
}
