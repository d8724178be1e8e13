package embed_test

import (
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster/internal/bustest"
	"github.com/occupancy/occupancy/cluster/natscluster"
)

// newKey returns a key pair, its public key and its seed.
func newKey(t testing.TB, create func() (nkeys.KeyPair, error)) (key nkeys.KeyPair, public string, seed []byte) {
	key, err := create()
	require.NoError(t, err)
	public, err = key.PublicKey()
	require.NoError(t, err)
	seed, err = key.Seed()
	require.NoError(t, err)
	return key, public, seed
}

func nkeyFile(t testing.TB, seed []byte) natscluster.Option {
	login, err := nats.NkeyOptionFromSeed(bustest.WriteFile(t, seed))
	require.NoError(t, err)
	return natscluster.WithNATS(login)
}

func TestConnect_NkeyFile(t *testing.T) {
	checkGoroutines(t)
	_, public, seed := newKey(t, nkeys.CreateUser)
	_, _, otherSeed := newKey(t, nkeys.CreateUser)
	url := startServer(t, func(o *server.Options) { o.Nkeys = []*server.NkeyUser{{Nkey: public}} }).ClientURL()

	a, b := connect(t, url, nkeyFile(t, seed)), connect(t, url, nkeyFile(t, seed))
	bustest.Receive(t, a, bustest.Subscribe(t, b, 64, bustest.Digests), "authorized")
	_, err := natscluster.Connect(bustest.Context(t), url, nkeyFile(t, otherSeed))
	require.ErrorIs(t, err, nats.ErrAuthorization)
	require.ErrorContains(t, err, "unauthorized")
}

func TestConnect_CredentialsFile(t *testing.T) {
	checkGoroutines(t)
	operator, trusted, _ := newKey(t, nkeys.CreateOperator)
	account, tenant, _ := newKey(t, nkeys.CreateAccount)
	claims, err := jwt.NewAccountClaims(tenant).Encode(operator)
	require.NoError(t, err)
	resolver := new(server.MemAccResolver)
	require.NoError(t, resolver.Store(tenant, claims))
	url := startServer(t, func(o *server.Options) {
		o.TrustedKeys, o.AccountResolver = []string{trusted}, resolver
	}).ClientURL()

	credentials := func(signer nkeys.KeyPair) natscluster.Option {
		_, user, seed := newKey(t, nkeys.CreateUser)
		claims := jwt.NewUserClaims(user)
		claims.IssuerAccount = tenant
		if signer == account {
			claims.IssuerAccount = ""
		}
		token, err := claims.Encode(signer)
		require.NoError(t, err)
		content, err := jwt.FormatUserConfig(token, seed)
		require.NoError(t, err)
		return natscluster.WithNATS(nats.UserCredentials(bustest.WriteFile(t, content)))
	}
	a, b := connect(t, url, credentials(account)), connect(t, url, credentials(account))
	bustest.Receive(t, a, bustest.Subscribe(t, b, 64, bustest.Digests), "authorized")

	stranger, _, _ := newKey(t, nkeys.CreateAccount)
	_, err = natscluster.Connect(bustest.Context(t), url, credentials(stranger))
	require.ErrorIs(t, err, nats.ErrAuthorization)
	require.ErrorContains(t, err, "unauthorized")
}
