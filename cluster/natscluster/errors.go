package natscluster

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/nats-io/nats.go"
)

// explain adds the cause to an error of the NATS client, in the words that operators search
// for.
func explain(err error) error {
	switch {
	case unauthorized(err):
		return fmt.Errorf("unauthorized: check the credentials: %w", err)
	case errors.Is(err, nats.ErrPermissionViolation):
		return fmt.Errorf("permission denied: %w", err)
	case tlsFailure(err):
		return fmt.Errorf("TLS failed: check the certificates and WithTLS: %w", err)
	}
	return err
}

func unauthorized(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) ||
		errors.Is(err, nats.ErrAuthRevoked) || errors.Is(err, nats.ErrAccountAuthExpired)
}

func tlsFailure(err error) bool {
	return errors.Is(err, nats.ErrTLS) || errors.Is(err, nats.ErrSecureConnRequired) ||
		errors.Is(err, nats.ErrSecureConnWanted) || hasType[*tls.CertificateVerificationError](err) || tlsAlert(err)
}

// tlsAlert reports whether the server rejected the handshake.
func tlsAlert(err error) bool {
	op := (*net.OpError)(nil)
	return errors.As(err, &op) && op.Op == "remote error"
}

// rejected reports whether a server has answered with an error that a retry would not change.
func rejected(err error) bool {
	switch {
	case errors.Is(err, nats.ErrNoServers):
		return false
	case tlsAlert(err):
		return true
	case hasType[net.Error](err):
		return false // for example a timeout, a reset, or a name that DNS does not contain yet
	}
	return !errors.Is(err, io.EOF) || errors.Is(err, nats.ErrTLS)
}

// hasType reports whether err is a T or wraps a T.
func hasType[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}
