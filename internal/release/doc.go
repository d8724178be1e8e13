// Command release prepares the releases of this repository's modules, and tests the
// modules as their users download them. The Makefile runs it:
//
//	go run ./internal/release prepare v0.2.0  write the version into the modules and the changelog
//	go run ./internal/release consumers       use every public module as another module does
//	go run ./internal/release api             compare the API of every public package with its golden file
//	go run ./internal/release api-update      rewrite the golden files
//	go run ./internal/release packages        print the pattern of each public module's packages
//
// The command reads the list of modules from go.work, so a new module needs no change of
// this command.
package main
