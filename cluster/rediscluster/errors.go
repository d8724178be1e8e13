package rediscluster

import (
	"errors"
	"fmt"
	"strings"

	"github.com/redis/rueidis"

	"github.com/occupancy/occupancy/cluster/internal/busstate"
)

// isAnswer reports whether the error is an answer of Redis, so that the connection still works.
func isAnswer(err error) bool { return answer(err) != "" }

// answer returns the text of an answer of Redis, or "" if the error is another one.
func answer(err error) string {
	if redis := (*rueidis.RedisError)(nil); errors.As(err, &redis) {
		return redis.Error()
	}
	return ""
}

// causes says what the codes of Redis mean, in the words that operators search for.
var causes = map[string]string{
	"NOPERM":    "permission denied",
	"NOAUTH":    "unauthorized: check the credentials",
	"WRONGPASS": "unauthorized: check the credentials",
}

// rejection returns why a retry would not change the error. It returns "" if a retry can change
// the error.
func rejection(err error) string {
	if busstate.TLSFailure(err) {
		return "TLS failed: check the certificates and the TLS options"
	}
	code, _, _ := strings.Cut(answer(err), " ")
	return causes[code]
}

// explain adds the cause to an error.
func explain(err error) error {
	if cause := rejection(err); cause != "" {
		return fmt.Errorf("%s: %w", cause, err)
	}
	return err
}
