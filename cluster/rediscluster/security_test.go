package rediscluster_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/rediscluster"
)

// writeCertificate writes a self-signed certificate for 127.0.0.1 and its key to files.
func writeCertificate(t testing.TB) (certFile, keyFile string, pool *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "test"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool = x509.NewCertPool()
	pool.AddCert(cert)
	write := func(name, kind string, content []byte) string {
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600))
		return path
	}
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", keyDER), pool
}

func TestConnect_TLS(t *testing.T) {
	checkGoroutines(t)
	cert, key, pool := writeCertificate(t)
	tlsAddr := freeAddr(t)
	_, port, _ := net.SplitHostPort(tlsAddr)
	s := startRedis(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert, "--tls-auth-clients", "no")
	a := connect(t, rueidis.ClientOption{InitAddress: []string{tlsAddr}, TLSConfig: &tls.Config{RootCAs: pool}})
	b := connect(t, s.option())
	receive(t, a, subscribe(t, b, 64, digests), "encrypted")

	_, err := rediscluster.Connect(timeoutContext(t), rueidis.ClientOption{InitAddress: []string{tlsAddr}, TLSConfig: &tls.Config{}})
	require.ErrorContains(t, err, "TLS failed: check the certificates")
	require.NotErrorIs(t, err, context.DeadlineExceeded)
}

func TestConnect_Password(t *testing.T) {
	checkGoroutines(t)
	s := startRedis(t, "--requirepass", "secret")
	option, err := rueidis.ParseURL("redis://:secret@" + s.addr)
	require.NoError(t, err)
	a, b := connect(t, option), connect(t, option)
	receive(t, a, subscribe(t, b, 64, digests), "authorized")
	for _, password := range []string{"other", ""} {
		_, err := rediscluster.Connect(timeoutContext(t), rueidis.ClientOption{InitAddress: []string{s.addr}, Password: password})
		require.ErrorContains(t, err, "unauthorized: check the credentials")
		require.NotErrorIs(t, err, context.DeadlineExceeded)
	}
}

// The permissions are those of the package comment.
func TestConnect_ACLUser(t *testing.T) {
	checkGoroutines(t)
	s := startRedis(t)
	s.do("ACL", "SETUSER", "node", "on", ">secret", "resetchannels", "&occupancy.v1.*",
		"+publish", "+subscribe", "+unsubscribe", "+ping", "+hello", "+client")
	s.do("ACL", "SETUSER", "idle", "on", ">secret", "+hello", "+client")
	option, log := s.option(), new(logBuffer)
	option.Username, option.Password = "node", "secret"
	a, b := connect(t, option, log.option()), connect(t, option)
	receive(t, a, subscribe(t, b, 64, digests), "authorized")

	awaitEvent(t, a, cluster.Connected)
	s.do("ACL", "SETUSER", "node", "resetchannels", "&occupancy.v1.digest.*")
	_, err := a.Subscribe(timeoutContext(t), []cluster.Subject{heartbeats}, make(chan cluster.Message, 1))
	require.ErrorContains(t, err, "permission denied")
	_, err = rediscluster.Connect(timeoutContext(t), rueidis.ClientOption{InitAddress: []string{s.addr}, Username: "idle", Password: "secret"})
	require.ErrorContains(t, err, "permission denied", "PING is not allowed")
	require.NotErrorIs(t, err, context.DeadlineExceeded)

	s.do("ACL", "SETUSER", "node", "-publish")
	require.ErrorContains(t, a.Publish(timeoutContext(t), digests, nil), "permission denied")
	require.Equal(t, 1, log.count("permission denied: NOPERM"))
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
	in := subscribe(t, connect(t, s.option(), rediscluster.WithPrefix("chat")), 64, digests)
	other, same := connect(t, s.option(), rediscluster.WithPrefix("staging")), connect(t, s.option(), rediscluster.WithPrefix("chat"))
	require.NoError(t, other.Publish(timeoutContext(t), digests, []byte("of another service")))
	require.NoError(t, other.Close(timeoutContext(t)))
	receive(t, same, in, "of the same service")
	require.Empty(t, in)
}

func TestPublish_TooLarge(t *testing.T) {
	checkGoroutines(t)
	b := connect(t, startRedis(t).option())
	require.ErrorIs(t, b.Publish(timeoutContext(t), digests, make([]byte, b.MaxPayload()+1)), rediscluster.ErrTooLarge)
}
