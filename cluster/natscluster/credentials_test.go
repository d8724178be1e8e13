package natscluster_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster/natscluster"
)

// identity is a key, and what it is known by.
func identity(t testing.TB, create func() (nkeys.KeyPair, error)) (key nkeys.KeyPair, public string, seed []byte) {
	key, err := create()
	require.NoError(t, err)
	public, err = key.PublicKey()
	require.NoError(t, err)
	seed, err = key.Seed()
	require.NoError(t, err)
	return key, public, seed
}

func file(t testing.TB, content []byte) string {
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path
}

func TestConnect_NkeyFile(t *testing.T) {
	leavesNothing(t)
	_, known, seed := identity(t, nkeys.CreateUser)
	_, _, unknown := identity(t, nkeys.CreateUser)
	url := startServer(t, func(o *server.Options) { o.Nkeys = []*server.NkeyUser{{Nkey: known}} }).ClientURL()

	a, b := connect(t, url, natscluster.WithNkeyFile(file(t, seed))), connect(t, url, natscluster.WithNkeyFile(file(t, seed)))
	until(t, a, subscribe(t, b, 64, digests), "known")
	_, err := natscluster.Connect(soon(t), url, natscluster.WithNkeyFile(file(t, unknown)))
	require.ErrorIs(t, err, nats.ErrAuthorization)
}

func TestConnect_CredentialsFile(t *testing.T) {
	leavesNothing(t)
	operator, trusted, _ := identity(t, nkeys.CreateOperator)
	account, tenant, _ := identity(t, nkeys.CreateAccount)
	claims, err := jwt.NewAccountClaims(tenant).Encode(operator)
	require.NoError(t, err)
	resolver := new(server.MemAccResolver)
	require.NoError(t, resolver.Store(tenant, claims))
	url := startServer(t, func(o *server.Options) {
		o.TrustedKeys, o.AccountResolver = []string{trusted}, resolver
	}).ClientURL()

	credentials := func(signer nkeys.KeyPair) natscluster.Option {
		_, user, seed := identity(t, nkeys.CreateUser)
		claims := jwt.NewUserClaims(user)
		claims.IssuerAccount = tenant
		if signer == account {
			claims.IssuerAccount = ""
		}
		token, err := claims.Encode(signer)
		require.NoError(t, err)
		content, err := jwt.FormatUserConfig(token, seed)
		require.NoError(t, err)
		return natscluster.WithCredentialsFile(file(t, content))
	}
	a, b := connect(t, url, credentials(account)), connect(t, url, credentials(account))
	until(t, a, subscribe(t, b, 64, digests), "of the account")

	stranger, _, _ := identity(t, nkeys.CreateAccount)
	_, err = natscluster.Connect(soon(t), url, credentials(stranger))
	require.ErrorIs(t, err, nats.ErrAuthorization)
}
