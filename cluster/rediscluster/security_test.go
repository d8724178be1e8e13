package rediscluster_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"testing"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/internal/bustest"
	"github.com/occupancy/occupancy/cluster/rediscluster"
)

// writeCertificate writes the certificate and its key to files.
func writeCertificate(t testing.TB, c tls.Certificate) (certFile, keyFile string) {
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	require.NoError(t, err)
	write := func(kind string, content []byte) string {
		return bustest.WriteFile(t, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}))
	}
	return write("CERTIFICATE", c.Certificate[0]), write("PRIVATE KEY", key)
}

func TestConnect_TLS(t *testing.T) {
	checkGoroutines(t)
	ours := bustest.NewAuthority(t)
	cert, key := writeCertificate(t, ours.Issue())
	tlsAddr := bustest.FreeAddr(t)
	_, port, _ := net.SplitHostPort(tlsAddr)
	s := startRedis(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-auth-clients", "no")
	a := connect(t, rueidis.ClientOption{InitAddress: []string{tlsAddr}, TLSConfig: &tls.Config{RootCAs: ours.Pool()}})
	b := connect(t, s.option())
	bustest.Receive(t, a, bustest.Subscribe(t, b, 64, bustest.Digests), "encrypted")

	_, err := rediscluster.Connect(bustest.Context(t), rueidis.ClientOption{InitAddress: []string{tlsAddr}, TLSConfig: &tls.Config{}})
	require.ErrorContains(t, err, "TLS failed: check the certificates")
	require.NotErrorIs(t, err, context.DeadlineExceeded)
}

func TestConnect_Password(t *testing.T) {
	checkGoroutines(t)
	s := startRedis(t, "--requirepass", "secret")
	option, err := rueidis.ParseURL("redis://:secret@" + s.addr)
	require.NoError(t, err)
	a, b := connect(t, option), connect(t, option)
	bustest.Receive(t, a, bustest.Subscribe(t, b, 64, bustest.Digests), "authorized")
	for _, password := range []string{"other", ""} {
		_, err := rediscluster.Connect(bustest.Context(t), rueidis.ClientOption{InitAddress: []string{s.addr}, Password: password})
		require.ErrorContains(t, err, "unauthorized: check the credentials")
		require.NotErrorIs(t, err, context.DeadlineExceeded)
	}
}

func TestConnect_ACLUser(t *testing.T) {
	checkGoroutines(t)
	s := startRedis(t)
	s.addUser()
	s.do("ACL", "SETUSER", "idle", "on", ">secret", "+hello", "+client")
	option, log := s.option(), new(bustest.Log)
	option.Username, option.Password = "node", "secret"
	a, b := connect(t, option, rediscluster.WithLogger(log.Logger())), connect(t, option)
	bustest.Receive(t, a, bustest.Subscribe(t, b, 64, bustest.Digests), "authorized")

	bustest.AwaitEvent(t, a, cluster.Connected)
	s.do("ACL", "SETUSER", "node", "resetchannels", "&occupancy.v1.digest.*")
	_, err := a.Subscribe(bustest.Context(t), []cluster.Subject{bustest.Heartbeats}, make(chan cluster.Message, 1))
	require.ErrorContains(t, err, "permission denied")
	_, err = rediscluster.Connect(bustest.Context(t), rueidis.ClientOption{InitAddress: []string{s.addr}, Username: "idle", Password: "secret"})
	require.ErrorContains(t, err, "permission denied", "PING is not allowed")
	require.NotErrorIs(t, err, context.DeadlineExceeded)

	s.do("ACL", "SETUSER", "node", "-publish")
	require.NoError(t, a.Publish(bustest.Context(t), bustest.Digests, nil))
	bustest.Eventually(t, "logged", func() bool { return log.Contains("permission denied: NOPERM") })
}

func TestConnect_RejectsInvalidPrefix(t *testing.T) {
	for _, prefix := range []string{"", "a*", "a..b"} {
		_, err := rediscluster.Connect(t.Context(), rueidis.ClientOption{}, rediscluster.WithPrefix(prefix))
		require.ErrorContains(t, err, "WithPrefix")
		_, err = rediscluster.New(nil, rediscluster.WithPrefix(prefix))
		require.ErrorContains(t, err, "WithPrefix")
	}
}

func TestBus_PrefixSeparatesServices(t *testing.T) {
	checkGoroutines(t)
	s := startRedis(t)
	in := bustest.Subscribe(t, connect(t, s.option(), rediscluster.WithPrefix("chat")), 64, bustest.Digests)
	other, same := connect(t, s.option(), rediscluster.WithPrefix("staging")), connect(t, s.option(), rediscluster.WithPrefix("chat"))
	require.NoError(t, other.Publish(bustest.Context(t), bustest.Digests, []byte("of another service")))
	require.NoError(t, other.Close(bustest.Context(t)))
	bustest.Receive(t, same, in, "of the same service")
	require.Empty(t, in)
}

func TestPublish_TooLarge(t *testing.T) {
	checkGoroutines(t)
	b := connect(t, startRedis(t).option())
	require.ErrorIs(t, b.Publish(bustest.Context(t), bustest.Digests, make([]byte, b.MaxPayload()+1)), rediscluster.ErrTooLarge)
}
