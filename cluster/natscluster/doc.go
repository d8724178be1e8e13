// Package natscluster is a cluster.Bus on NATS.
package natscluster
