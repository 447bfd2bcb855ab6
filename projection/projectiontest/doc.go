// Package projectiontest holds what every [projection.ViewStore] must keep, in
// clauses that can be run.
package projectiontest
