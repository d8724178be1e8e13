// Package verify tests the engine with libraries that the root module does not depend on.
// It contains only tests and one command, and uses only the exported API:
//
//   - TestLinearizable records concurrent calls on rooms that often become empty and are
//     then used again. It searches for a sequential order of the calls that explains the
//     results.
//     TestLinearizable_FindsFaults does the same with engines that have a known fault.
//   - TestModel runs random programs over the entire API in virtual time, compares them
//     with a simple reference, and shrinks a program that fails.
//   - Package stress calls all methods concurrently and measures the memory of the engine.
//   - Package fuzz has the fuzz targets.
//   - Command soak runs an engine under load for minutes. It checks that all counts are
//     exact, that each listener receives the final counts, and that no goroutine and no
//     memory is left.
//
// The tests take seconds. Flags set the number of histories and programs:
//
//	go test . -histories 20000 -rapid.checks 20000
package verify
