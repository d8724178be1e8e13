// Package verify tests the engine with more than its own module may depend on. It
// contains only tests and one command, and uses only the exported API:
//
//   - TestLinearizable records concurrent calls on rooms that often end and begin again,
//     and searches for a sequential order of the calls that explains the results.
//     TestLinearizable_FindsFaults does the same with engines that have a known fault.
//   - TestModel runs random programs over the entire API in virtual time, compares them
//     with a simple reference, and shrinks a program that fails.
//   - Package stress calls everything concurrently and measures memory.
//   - Package fuzz has the fuzz targets.
//   - Command soak loads an engine for minutes and checks that every count and every last
//     value is right, and that no goroutine and no memory is left.
//
// The tests take seconds. Flags set the number of histories and programs:
//
//	go test . -histories 20000 -rapid.checks 20000
package verify
