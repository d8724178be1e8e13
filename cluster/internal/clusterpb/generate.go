// Package clusterpb is cluster.proto as protoc-gen-go makes it. Nothing but tests imports
// it: it is what package cluster's own coding is compared with.
package clusterpb

// It takes protoc, of Debian's package protobuf-compiler.
//go:generate go build -o ../../../.bin/protoc-gen-go google.golang.org/protobuf/cmd/protoc-gen-go
//go:generate protoc --plugin=../../../.bin/protoc-gen-go --proto_path=../.. --go_out=. --go_opt=paths=source_relative cluster.proto
