// Package fuzz contains the fuzz targets of the engine. FuzzEngine makes sequences of calls
// and compares the results with those of a model. FuzzNames passes arbitrary strings to
// every method that has a string parameter. Both use only the exported API.
package fuzz
