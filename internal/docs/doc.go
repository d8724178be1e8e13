// Package docs tests the README and the pages in docs/: every snippet is part of a program
// that a test runs, and every link leads to a file.
package docs
