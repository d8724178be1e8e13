module github.com/occupancy/occupancy/cluster/rediscluster

go 1.25.0

require (
	github.com/occupancy/occupancy v0.1.0
	github.com/occupancy/occupancy/cluster v0.1.0
	github.com/redis/rueidis v1.0.79
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/dchest/siphash v1.2.3 // indirect
	github.com/puzpuzpuz/xsync/v3 v3.5.1 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/sys v0.47.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

replace (
	github.com/occupancy/occupancy => ../../
	github.com/occupancy/occupancy/cluster => ../
)
