// Package verify checks the engine against what it promises, with more than the
// engine's own tests may depend on. It is all tests, and one program:
//
//   - TestLinearizable records what concurrent callers see of rooms that keep ending
//     and beginning again, and looks for an order of the calls that explains it.
//     TestCheckerSees does the same to engines with a fault, which must be found.
//   - TestModel runs random programs over the entire API in virtual time, beside a
//     reference that is too simple to be wrong, and shrinks one that fails.
//   - The command soak loads an engine for minutes, lets it rest, and looks whether
//     every count, every last word, every goroutine and the memory is where it should.
//
// The tests take seconds. How many histories and programs is a flag:
//
//	go test . -histories 20000 -rapid.checks 20000
package verify
