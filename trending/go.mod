module github.com/occupancy/occupancy/trending

go 1.25.0

require (
	github.com/occupancy/occupancy v0.0.0
	github.com/tidwall/btree v1.8.2
)

require github.com/puzpuzpuz/xsync/v3 v3.5.1 // indirect

replace github.com/occupancy/occupancy => ../
