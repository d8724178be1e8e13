// Package fuzz has the fuzz targets of the engine. FuzzEngine runs programs of calls
// beside a model, FuzzNames passes strings to every call that takes one. Both use only
// the exported API.
package fuzz
