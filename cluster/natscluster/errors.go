package natscluster

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"slices"

	"github.com/nats-io/nats.go"

	"github.com/occupancy/occupancy/cluster/internal/busstate"
)

// explain adds the cause to an error of the NATS client, in the words that operators search
// for.
func explain(err error) error {
	switch {
	case isAny(err, nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired):
		return fmt.Errorf("unauthorized: check the credentials: %w", err)
	case errors.Is(err, nats.ErrPermissionViolation):
		return fmt.Errorf("permission denied: %w", err)
	case tlsFailure(err):
		return fmt.Errorf("TLS failed: check the certificates and the TLS options: %w", err)
	}
	return err
}

func isAny(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}

// tlsFailure reports whether one side requires TLS and the other does not, or one side has
// rejected the certificate of the other.
func tlsFailure(err error) bool {
	return isAny(err, nats.ErrTLS, nats.ErrSecureConnRequired, nats.ErrSecureConnWanted) || busstate.TLSFailure(err)
}

// rejected reports whether a retry would not change the error, for example because the
// credentials are wrong. A retry can change an error of the network.
func rejected(err error) bool {
	var network net.Error // for example a timeout, a reset, or a name that DNS does not contain yet
	var file *fs.PathError
	switch {
	case tlsFailure(err), errors.As(err, &file):
		return true
	case isAny(err, nats.ErrNoServers, io.EOF), errors.As(err, &network):
		return false
	}
	return true
}
