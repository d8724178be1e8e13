module github.com/occupancy/occupancy

go 1.25.0

require github.com/puzpuzpuz/xsync/v3 v3.5.1
