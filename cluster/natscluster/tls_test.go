package natscluster_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/occupancy/occupancy/cluster/natscluster"
)

func TestConnect_TLS(t *testing.T) {
	leavesNothing(t)
	ours, others := newAuthority(t), newAuthority(t)
	url := startServer(t, func(o *server.Options) {
		o.TLS, o.TLSVerify = true, true
		o.TLSConfig = &tls.Config{
			Certificates: []tls.Certificate{ours.issue()},
			ClientCAs:    ours.pool(),
			ClientAuth:   tls.RequireAndVerifyClientCert,
		}
	}).ClientURL()

	a, b := connect(t, url, natscluster.WithTLS(ours.node())), connect(t, url, natscluster.WithTLS(ours.node()))
	until(t, a, subscribe(t, b, 64, digests), "encrypted")

	for name, config := range map[string]*tls.Config{
		"another authority": {RootCAs: others.pool(), Certificates: []tls.Certificate{ours.issue()}},
		"the system's":      {Certificates: []tls.Certificate{ours.issue()}},
	} {
		_, err := natscluster.Connect(soon(t), url, natscluster.WithTLS(config))
		var unknown x509.UnknownAuthorityError
		require.ErrorAs(t, err, &unknown, name)
	}
	for name, config := range map[string]*tls.Config{
		"no certificate":      {RootCAs: ours.pool()},
		"another authority's": {RootCAs: ours.pool(), Certificates: []tls.Certificate{others.issue()}},
	} {
		_, err := natscluster.Connect(soon(t), url, natscluster.WithTLS(config))
		require.ErrorContains(t, err, "tls", name)
		require.NotErrorIs(t, err, context.DeadlineExceeded, "%s: it is not tried again", name)
	}

	plain := startServer(t, nil).ClientURL()
	_, err := natscluster.Connect(soon(t), plain, natscluster.WithTLS(ours.node()))
	require.ErrorIs(t, err, nats.ErrSecureConnWanted)
}

func TestEmbed_TLSIsMutualBetweenSeeds(t *testing.T) {
	leavesNothing(t)
	ours, others := newAuthority(t), newAuthority(t)
	a := embed(t, natscluster.WithTLS(ours.node()), natscluster.WithClusterListen("127.0.0.1:0"))
	seed := natscluster.WithSeeds(a.ClusterAddr())
	b := embed(t, natscluster.WithTLS(ours.node()), natscluster.WithClusterListen("127.0.0.1:0"), seed)
	until(t, a, subscribe(t, b, 64, digests), "by an encrypted route")

	for name, opts := range map[string][]natscluster.Option{
		"another authority's": {natscluster.WithTLS(&tls.Config{RootCAs: ours.pool(), Certificates: []tls.Certificate{others.issue()}})},
		"another authority":   {natscluster.WithTLS(&tls.Config{RootCAs: others.pool(), Certificates: []tls.Certificate{ours.issue()}})},
		"no TLS":              nil,
	} {
		t.Run(name, func(t *testing.T) {
			// The server says "TLS route handshake error", or that a route was closed.
			log := new(logged)
			c := embed(t, append(opts, log.option(), natscluster.WithClusterListen("127.0.0.1:0"), seed)...)
			in := subscribe(t, a, 64, digests)
			eventually(t, "tried and refused", func() bool {
				return log.has("TLS route handshake error") || log.has("Router connection closed") || log.has("TLS required")
			})
			require.NoError(t, c.Publish(soon(t), digests, []byte("from outside")))
			require.NoError(t, c.Close(soon(t)))
			require.NotContains(t, until(t, b, in, "from inside"), "from outside")
		})
	}
}

func TestEmbed_TLSAloneAdmitsByCertificate(t *testing.T) {
	leavesNothing(t)
	ours := newAuthority(t)
	a := embed(t, natscluster.WithTLS(ours.node()), natscluster.WithClientListen("127.0.0.1:0"))
	b := connect(t, a.ClientURL(), natscluster.WithTLS(ours.node()))
	until(t, b, subscribe(t, a, 64, digests), "admitted")

	_, err := natscluster.Connect(soon(t), a.ClientURL(), natscluster.WithTLS(&tls.Config{RootCAs: ours.pool()}))
	require.ErrorContains(t, err, "tls")
	_, err = natscluster.Connect(soon(t), a.ClientURL())
	require.ErrorContains(t, err, "tls")
}

func TestEmbed_TLSAndCredentials(t *testing.T) {
	leavesNothing(t)
	ours := newAuthority(t)
	token := natscluster.WithToken("secret")
	a := embed(t, token, natscluster.WithTLS(ours.node()), natscluster.WithClientListen("127.0.0.1:0"))
	trusting := natscluster.WithTLS(&tls.Config{RootCAs: ours.pool()})
	b := connect(t, a.ClientURL(), token, trusting)
	until(t, a, subscribe(t, b, 64, digests), "admitted")

	_, err := natscluster.Connect(soon(t), a.ClientURL(), trusting)
	require.ErrorIs(t, err, nats.ErrAuthorization)
}

func TestEmbed_TLSThatCannotBeMeant(t *testing.T) {
	ours := newAuthority(t)
	for _, c := range []struct {
		config *tls.Config
		says   string
	}{
		{nil, "config is nil"},
		{&tls.Config{RootCAs: ours.pool()}, "needs Certificates"},
		{&tls.Config{Certificates: []tls.Certificate{ours.issue()}}, "needs ClientCAs or RootCAs"},
		{&tls.Config{
			Certificates:       []tls.Certificate{ours.issue()},
			RootCAs:            ours.pool(),
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil },
		}, "GetConfigForClient"},
	} {
		_, err := natscluster.Embed(soon(t), natscluster.WithTLS(c.config), natscluster.WithClientListen("127.0.0.1:0"))
		require.ErrorContains(t, err, c.says)
	}
}
