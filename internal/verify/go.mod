module github.com/occupancy/occupancy/internal/verify

go 1.25.0

require (
	github.com/anishathalye/porcupine v1.3.1
	github.com/occupancy/occupancy v0.1.0
	github.com/stretchr/testify v1.12.1
	pgregory.net/rapid v1.3.0
)

require (
	github.com/puzpuzpuz/xsync/v3 v3.5.1 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)

replace github.com/occupancy/occupancy => ../..
