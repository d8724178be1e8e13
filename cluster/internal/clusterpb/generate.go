// Package clusterpb contains the code that protoc-gen-go generates from cluster.proto.
// Only tests import it: they compare it with the encoding of package cluster.
package clusterpb

// go generate needs protoc, which is in Debian's package protobuf-compiler.
//go:generate go build -o ../../../.bin/protoc-gen-go google.golang.org/protobuf/cmd/protoc-gen-go
//go:generate protoc --plugin=../../../.bin/protoc-gen-go --proto_path=../.. --go_out=. --go_opt=paths=source_relative cluster.proto
