package embed_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster"
	"github.com/occupancy/occupancy/cluster/natscluster"
	"github.com/occupancy/occupancy/cluster/natscluster/embed"
)

func TestConnect_TLS(t *testing.T) {
	checkGoroutines(t)
	ours, others := newAuthority(t), newAuthority(t)
	url := startServer(t, func(o *server.Options) {
		o.TLS, o.TLSVerify = true, true
		o.TLSConfig = &tls.Config{
			Certificates: []tls.Certificate{ours.issue()},
			ClientCAs:    ours.pool(),
			ClientAuth:   tls.RequireAndVerifyClientCert,
		}
	}).ClientURL()

	a, b := connect(t, url, natscluster.WithNATS(nats.Secure(ours.nodeConfig()))), connect(t, url, natscluster.WithNATS(nats.Secure(ours.nodeConfig())))
	receive(t, a, subscribe(t, b, 64, digests), "encrypted")

	for name, config := range map[string]*tls.Config{
		"trusts another authority":    {RootCAs: others.pool(), Certificates: []tls.Certificate{ours.issue()}},
		"trusts system's authorities": {Certificates: []tls.Certificate{ours.issue()}},
	} {
		_, err := natscluster.Connect(timeoutContext(t), url, natscluster.WithNATS(nats.Secure(config)))
		var unknown x509.UnknownAuthorityError
		require.ErrorAs(t, err, &unknown, name)
		require.ErrorContains(t, err, "TLS failed: check the certificates", name)
	}
	for name, config := range map[string]*tls.Config{
		"has no certificate":                     {RootCAs: ours.pool()},
		"has a certificate of another authority": {RootCAs: ours.pool(), Certificates: []tls.Certificate{others.issue()}},
	} {
		_, err := natscluster.Connect(timeoutContext(t), url, natscluster.WithNATS(nats.Secure(config)))
		require.ErrorContains(t, err, "TLS failed: check the certificates", name)
		require.NotErrorIs(t, err, context.DeadlineExceeded, "%s: Connect does not retry", name)
	}

	plain := startServer(t, nil).ClientURL()
	_, err := natscluster.Connect(timeoutContext(t), plain, natscluster.WithNATS(nats.Secure(ours.nodeConfig())))
	require.ErrorIs(t, err, nats.ErrSecureConnWanted)
}

func TestStart_SeedsVerifyEachOther(t *testing.T) {
	checkGoroutines(t)
	ours, others := newAuthority(t), newAuthority(t)
	a := startSeed(t, embed.WithTLS(ours.nodeConfig()), embed.WithClusterListen("127.0.0.1:0"))
	seeds := embed.WithSeeds(a.ClusterAddr())
	b := startSeed(t, embed.WithTLS(ours.nodeConfig()), embed.WithClusterListen("127.0.0.1:0"), seeds)
	receive(t, a, subscribe(t, b, 64, digests), "encrypted")

	for name, opts := range map[string][]embed.Option{
		"has a certificate of another authority": {embed.WithTLS(&tls.Config{RootCAs: ours.pool(), Certificates: []tls.Certificate{others.issue()}})},
		"trusts another authority":               {embed.WithTLS(&tls.Config{RootCAs: others.pool(), Certificates: []tls.Certificate{ours.issue()}})},
		"has no TLS":                             nil,
	} {
		t.Run(name, func(t *testing.T) {
			log := new(logBuffer)
			c := startSeed(t, append(opts, log.seedOption(), embed.WithClusterListen("127.0.0.1:0"), seeds)...)
			in := subscribe(t, a, 64, digests)
			eventually(t, "refused", func() bool {
				return log.contains("TLS route handshake error") || log.contains("Router connection closed") || log.contains("TLS required")
			})
			require.NoError(t, c.Publish(timeoutContext(t), digests, []byte("from the refused seed")))
			require.NoError(t, c.Close(timeoutContext(t)))
			require.NotContains(t, receive(t, b, in, "from the first seed"), "from the refused seed")
		})
	}
}

func TestStart_TLSWithoutCredentialsRequiresClientCertificate(t *testing.T) {
	checkGoroutines(t)
	ours := newAuthority(t)
	a := startSeed(t, embed.WithTLS(ours.nodeConfig()), embed.WithClientListen("127.0.0.1:0"))
	b := connect(t, a.ClientURL(), natscluster.WithNATS(nats.Secure(ours.nodeConfig())))
	receive(t, b, subscribe(t, a, 64, digests), "authorized")

	_, err := natscluster.Connect(timeoutContext(t), a.ClientURL(), natscluster.WithNATS(nats.Secure(&tls.Config{RootCAs: ours.pool()})))
	require.ErrorContains(t, err, "tls")
	_, err = natscluster.Connect(timeoutContext(t), a.ClientURL())
	require.ErrorContains(t, err, "TLS failed: check the certificates")
}

func TestStart_TLSWithCredentialsRequiresNoClientCertificate(t *testing.T) {
	checkGoroutines(t)
	ours := newAuthority(t)
	a := startSeed(t, embed.WithToken("secret"), embed.WithTLS(ours.nodeConfig()), embed.WithClientListen("127.0.0.1:0"))
	trustOnly := natscluster.WithNATS(nats.Secure(&tls.Config{RootCAs: ours.pool()}))
	b := connect(t, a.ClientURL(), natscluster.WithNATS(nats.Token("secret")), trustOnly)
	receive(t, a, subscribe(t, b, 64, digests), "authorized")

	_, err := natscluster.Connect(timeoutContext(t), a.ClientURL(), trustOnly)
	require.ErrorIs(t, err, nats.ErrAuthorization)
}

func TestStart_RejectsInvalidTLS(t *testing.T) {
	ours := newAuthority(t)
	for _, c := range []struct {
		config *tls.Config
		text   string
	}{
		{&tls.Config{RootCAs: ours.pool()}, "set Certificates"},
		{&tls.Config{Certificates: []tls.Certificate{ours.issue()}}, "set ClientCAs or RootCAs"},
		{&tls.Config{
			Certificates:       []tls.Certificate{ours.issue()},
			RootCAs:            ours.pool(),
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil },
		}, "GetConfigForClient"},
	} {
		_, err := embed.Start(timeoutContext(t), embed.WithTLS(c.config), embed.WithClientListen("127.0.0.1:0"))
		require.ErrorContains(t, err, c.text)
	}
}

// expiredConfig returns a configuration whose certificate has expired.
func (a *authority) expiredConfig() *tls.Config {
	return &tls.Config{RootCAs: a.pool(), Certificates: []tls.Certificate{a.issueUntil(time.Now().Add(-time.Minute))}}
}

// A Bus and a seed try again and again, but log the same error only once per 10 s.
func TestExpiredCertificate_IsLoggedOncePerInterval(t *testing.T) {
	const expired = "certificate has expired"
	attempts := func(t *testing.T, p *proxy, log *logBuffer) {
		start := time.Now()
		eventually(t, "logged", func() bool { return log.contains(expired) })
		before := p.Accepted()
		eventually(t, "four more attempts", func() bool { return p.Accepted() >= before+4 })
		require.LessOrEqual(t, log.count(expired), 1+int(time.Since(start)/(10*time.Second)))
	}
	ours := newAuthority(t)
	t.Run("client", func(t *testing.T) {
		checkGoroutines(t)
		addr := freeAddrs(t, 1)[0]
		listen := func(config *tls.Config) *server.Server {
			return startServer(t, func(o *server.Options) { listenOn(addr)(o); o.TLS, o.TLSConfig = true, config })
		}
		s := listen(ours.nodeConfig())
		p, log := newProxy(t, addr), new(logBuffer)
		b := connect(t, p.URL(), log.option(), natscluster.WithNATS(nats.Secure(&tls.Config{RootCAs: ours.pool()})))
		awaitEvent(t, b, cluster.Connected)
		s.Shutdown()
		s.WaitForShutdown()
		s = listen(ours.expiredConfig())
		awaitEvent(t, b, cluster.Disconnected)
		attempts(t, p, log)
		require.True(t, log.contains("TLS failed: check the certificates"))
		s.Shutdown()
		s.WaitForShutdown()
		listen(ours.nodeConfig())
		awaitEvent(t, b, cluster.Connected)
		eventually(t, "the new connection is a warning", func() bool { return log.contains(`level=WARN msg="connected to NATS"`) })
	})
	t.Run("seed", func(t *testing.T) {
		checkGoroutines(t)
		seed := startSeed(t, embed.WithTLS(ours.expiredConfig()), embed.WithClusterListen("127.0.0.1:0"))
		p, log := newProxy(t, seed.ClusterAddr()), new(logBuffer)
		b := startSeed(t, log.seedOption(), embed.WithTLS(ours.nodeConfig()), embed.WithClusterListen("127.0.0.1:0"), embed.WithSeeds(p.Addr()))
		require.Equal(t, cluster.Disconnected, <-b.Events())
		attempts(t, p, log)
	})
}
