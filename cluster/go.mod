module github.com/occupancy/occupancy/cluster

go 1.25.0

require (
	github.com/dchest/siphash v1.2.3
	github.com/occupancy/occupancy v0.1.0
	github.com/stretchr/testify v1.12.1
	google.golang.org/protobuf v1.36.12
)

require (
	github.com/puzpuzpuz/xsync/v3 v3.5.1 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)

replace github.com/occupancy/occupancy => ../
