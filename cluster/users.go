package cluster

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/dchest/siphash"
)

// userKey is the key of the hashes of client IDs.
type userKey struct{ k0, k1 uint64 }

func newUserKey(secret string) userKey {
	sum := sha256.Sum256([]byte("occupancy.cluster.v1 users\x00" + secret))
	return userKey{binary.LittleEndian.Uint64(sum[:]), binary.LittleEndian.Uint64(sum[8:])}
}

// hashUser returns the SipHash-2-4 of the client ID.
func (c *config) hashUser(clientID string) uint64 {
	return siphash.Hash(c.userKey.k0, c.userKey.k1, []byte(clientID))
}

// id returns a number that is different for different keys.
func (k userKey) id() uint64 { return siphash.Hash(k.k0, k.k1, []byte("the key of this node")) }
