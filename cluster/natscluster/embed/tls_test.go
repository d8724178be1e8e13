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
	"github.com/occupancy/occupancy/cluster/internal/bustest"
	"github.com/occupancy/occupancy/cluster/natscluster"
	"github.com/occupancy/occupancy/cluster/natscluster/embed"
)

func TestConnect_TLS(t *testing.T) {
	checkGoroutines(t)
	ours, others := bustest.NewAuthority(t), bustest.NewAuthority(t)
	url := startServer(t, func(o *server.Options) {
		o.TLS, o.TLSVerify = true, true
		o.TLSConfig = &tls.Config{
			Certificates: []tls.Certificate{ours.Issue()},
			ClientCAs:    ours.Pool(),
			ClientAuth:   tls.RequireAndVerifyClientCert,
		}
	}).ClientURL()

	a, b := connect(t, url, natscluster.WithNATS(nats.Secure(ours.NodeConfig()))), connect(t, url, natscluster.WithNATS(nats.Secure(ours.NodeConfig())))
	bustest.Receive(t, a, bustest.Subscribe(t, b, 64, bustest.Digests), "encrypted")

	for name, config := range map[string]*tls.Config{
		"trusts another authority":    {RootCAs: others.Pool(), Certificates: []tls.Certificate{ours.Issue()}},
		"trusts system's authorities": {Certificates: []tls.Certificate{ours.Issue()}},
	} {
		_, err := natscluster.Connect(bustest.Context(t), url, natscluster.WithNATS(nats.Secure(config)))
		var unknown x509.UnknownAuthorityError
		require.ErrorAs(t, err, &unknown, name)
		require.ErrorContains(t, err, "TLS failed: check the certificates", name)
	}
	for name, config := range map[string]*tls.Config{
		"has no certificate":                     {RootCAs: ours.Pool()},
		"has a certificate of another authority": {RootCAs: ours.Pool(), Certificates: []tls.Certificate{others.Issue()}},
	} {
		_, err := natscluster.Connect(bustest.Context(t), url, natscluster.WithNATS(nats.Secure(config)))
		require.ErrorContains(t, err, "TLS failed: check the certificates", name)
		require.NotErrorIs(t, err, context.DeadlineExceeded, "%s: Connect does not retry", name)
	}

	plain := startServer(t, nil).ClientURL()
	_, err := natscluster.Connect(bustest.Context(t), plain, natscluster.WithNATS(nats.Secure(ours.NodeConfig())))
	require.ErrorIs(t, err, nats.ErrSecureConnWanted)
}

func TestStart_SeedsVerifyEachOther(t *testing.T) {
	checkGoroutines(t)
	ours, others := bustest.NewAuthority(t), bustest.NewAuthority(t)
	a := startSeed(t, embed.WithTLS(ours.NodeConfig()), embed.WithClusterListen("127.0.0.1:0"))
	seeds := embed.WithSeeds(a.ClusterAddr())
	b := startSeed(t, embed.WithTLS(ours.NodeConfig()), embed.WithClusterListen("127.0.0.1:0"), seeds)
	bustest.Receive(t, a, bustest.Subscribe(t, b, 64, bustest.Digests), "encrypted")

	for name, opts := range map[string][]embed.Option{
		"has a certificate of another authority": {embed.WithTLS(&tls.Config{RootCAs: ours.Pool(), Certificates: []tls.Certificate{others.Issue()}})},
		"trusts another authority":               {embed.WithTLS(&tls.Config{RootCAs: others.Pool(), Certificates: []tls.Certificate{ours.Issue()}})},
		"has no TLS":                             nil,
	} {
		t.Run(name, func(t *testing.T) {
			log := new(bustest.Log)
			c := startSeed(t, append(opts, embed.WithLogger(log.Logger()), embed.WithClusterListen("127.0.0.1:0"), seeds)...)
			in := bustest.Subscribe(t, a, 64, bustest.Digests)
			bustest.Eventually(t, "refused", func() bool {
				return log.Contains("TLS route handshake error") || log.Contains("Router connection closed") || log.Contains("TLS required")
			})
			require.NoError(t, c.Publish(bustest.Context(t), bustest.Digests, []byte("from the refused seed")))
			require.NoError(t, c.Close(bustest.Context(t)))
			require.NotContains(t, bustest.Receive(t, b, in, "from the first seed"), "from the refused seed")
		})
	}
}

func TestStart_TLSWithoutCredentialsRequiresClientCertificate(t *testing.T) {
	checkGoroutines(t)
	ours := bustest.NewAuthority(t)
	a := startSeed(t, embed.WithTLS(ours.NodeConfig()), embed.WithClientListen("127.0.0.1:0"))
	b := connect(t, a.ClientURL(), natscluster.WithNATS(nats.Secure(ours.NodeConfig())))
	bustest.Receive(t, b, bustest.Subscribe(t, a, 64, bustest.Digests), "authorized")

	_, err := natscluster.Connect(bustest.Context(t), a.ClientURL(), natscluster.WithNATS(nats.Secure(&tls.Config{RootCAs: ours.Pool()})))
	require.ErrorContains(t, err, "tls")
	_, err = natscluster.Connect(bustest.Context(t), a.ClientURL())
	require.ErrorContains(t, err, "TLS failed: check the certificates")
}

func TestStart_TLSWithCredentialsRequiresNoClientCertificate(t *testing.T) {
	checkGoroutines(t)
	ours := bustest.NewAuthority(t)
	a := startSeed(t, embed.WithToken("secret"), embed.WithTLS(ours.NodeConfig()), embed.WithClientListen("127.0.0.1:0"))
	trustOnly := natscluster.WithNATS(nats.Secure(&tls.Config{RootCAs: ours.Pool()}))
	b := connect(t, a.ClientURL(), natscluster.WithNATS(nats.Token("secret")), trustOnly)
	bustest.Receive(t, a, bustest.Subscribe(t, b, 64, bustest.Digests), "authorized")

	_, err := natscluster.Connect(bustest.Context(t), a.ClientURL(), trustOnly)
	require.ErrorIs(t, err, nats.ErrAuthorization)
}

func TestStart_RejectsInvalidTLS(t *testing.T) {
	ours := bustest.NewAuthority(t)
	for _, c := range []struct {
		config *tls.Config
		text   string
	}{
		{&tls.Config{RootCAs: ours.Pool()}, "set Certificates"},
		{&tls.Config{Certificates: []tls.Certificate{ours.Issue()}}, "set ClientCAs or RootCAs"},
		{&tls.Config{
			Certificates:       []tls.Certificate{ours.Issue()},
			RootCAs:            ours.Pool(),
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil },
		}, "GetConfigForClient"},
	} {
		_, err := embed.Start(bustest.Context(t), embed.WithTLS(c.config), embed.WithClientListen("127.0.0.1:0"))
		require.ErrorContains(t, err, c.text)
	}
}

// A Bus and a seed try again and again, but log the same error only once per 10 s.
func TestExpiredCertificate_IsLoggedOncePerInterval(t *testing.T) {
	const expired = "certificate has expired"
	attempts := func(t *testing.T, p *bustest.Proxy, log *bustest.Log) {
		start := time.Now()
		bustest.Eventually(t, "logged", func() bool { return log.Contains(expired) })
		before := p.Accepted()
		bustest.Eventually(t, "four more attempts", func() bool { return p.Accepted() >= before+4 })
		require.LessOrEqual(t, log.Count(expired), 1+int(time.Since(start)/(10*time.Second)))
	}
	ours := bustest.NewAuthority(t)
	expiredConfig := &tls.Config{RootCAs: ours.Pool(), Certificates: []tls.Certificate{ours.IssueUntil(time.Now().Add(-time.Minute))}}
	t.Run("client", func(t *testing.T) {
		checkGoroutines(t)
		addr := bustest.FreeAddr(t)
		listen := func(config *tls.Config) *server.Server {
			return startServer(t, func(o *server.Options) { listenOn(addr)(o); o.TLS, o.TLSConfig = true, config })
		}
		s := listen(ours.NodeConfig())
		p, log := bustest.NewProxy(t, addr), new(bustest.Log)
		b := connect(t, p.Addr(), natscluster.WithLogger(log.Logger()), natscluster.WithNATS(nats.Secure(&tls.Config{RootCAs: ours.Pool()})))
		bustest.AwaitEvent(t, b, cluster.Connected)
		s.Shutdown()
		s.WaitForShutdown()
		s = listen(expiredConfig)
		bustest.AwaitEvent(t, b, cluster.Disconnected)
		attempts(t, p, log)
		require.True(t, log.Contains("TLS failed: check the certificates"))
		s.Shutdown()
		s.WaitForShutdown()
		listen(ours.NodeConfig())
		bustest.AwaitEvent(t, b, cluster.Connected)
		bustest.Eventually(t, "the new connection is a warning", func() bool { return log.Contains(`level=WARN msg="connected to NATS"`) })
	})
	t.Run("seed", func(t *testing.T) {
		checkGoroutines(t)
		seed := startSeed(t, embed.WithTLS(expiredConfig), embed.WithClusterListen("127.0.0.1:0"))
		p, log := bustest.NewProxy(t, seed.ClusterAddr()), new(bustest.Log)
		b := startSeed(t, embed.WithLogger(log.Logger()), embed.WithTLS(ours.NodeConfig()), embed.WithClusterListen("127.0.0.1:0"), embed.WithSeeds(p.Addr()))
		require.Equal(t, cluster.Disconnected, <-b.Events())
		attempts(t, p, log)
	})
}
