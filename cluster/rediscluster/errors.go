package rediscluster

import (
	"errors"
	"fmt"
	"strings"

	"github.com/redis/rueidis"

	"github.com/occupancy/occupancy/cluster/internal/busstate"
)

// isAnswer reports whether the error is an answer of Redis, so that the connection still works.
func isAnswer(err error) bool {
	var answer *rueidis.RedisError
	return errors.As(err, &answer)
}

// explain adds the cause to an error of Redis, in the words that operators search for.
func explain(err error) error {
	switch {
	case isAnswer(err) && strings.HasPrefix(err.Error(), "NOPERM"):
		return fmt.Errorf("permission denied: %w", err)
	case isAnswer(err) && (strings.HasPrefix(err.Error(), "WRONGPASS") || strings.HasPrefix(err.Error(), "NOAUTH")):
		return fmt.Errorf("unauthorized: check the credentials: %w", err)
	case busstate.TLSFailure(err):
		return fmt.Errorf("TLS failed: check the certificates and the TLS options: %w", err)
	}
	return err
}

// rejected reports whether a retry would not change the error.
func rejected(err error) bool {
	return isAnswer(err) && !strings.HasPrefix(err.Error(), "LOADING") || busstate.TLSFailure(err)
}
