// Package promises tests what DESIGN.md and the documentation of package occupancy
// promise, through the exported API only. It contains only tests.
//
//	promise                                            file
//	 1  counts are exact                               counts_test.go, users_test.go, users_nodes_test.go
//	 2  a subscription starts with a snapshot          snapshot_test.go
//	 3  the last value is always delivered             last_value_test.go
//	 4  the first change is published immediately      first_change_test.go
//	 5  a slow subscriber affects nobody else          slow_subscriber_test.go
//	 6  a watcher misses no room                       watch_test.go, watch_concurrent_test.go, caught_up_test.go
//	    a watcher of selected rooms                    watch_rooms_test.go
//	 7  an idle engine costs nothing                   idle_test.go, allocations_test.go
//	 8  invalid input returns an error                 invalid_input_test.go
//	 9  after Close                                    close_test.go
//	10  a client that reconnects in time never left    linger_test.go
//
//	subject                                            file
//	leases, sessions                                   lease_test.go, session_test.go
//	limits of WithMaxRooms and Max                     room_limit_test.go, max_test.go
//	Link and Get                                       link_test.go
//	Link WithInterest                                  interest_test.go
//	Remote                                             remote_test.go
//	All                                                all_test.go
//	Stats and Interval                                 stats_test.go
//	JSON of the events                                 json_test.go
//
// Most tests run in virtual time (testing/synctest). Tests that call everything at once,
// compare long random programs with a model or measure memory are in internal/verify.
package promises
