// Package memview keeps the views of projections in memory: for tests, for
// trying things out, and for views that every process builds for itself. It
// keeps every rule that redisview keeps, and is gone with its process.
//
// A Store starts no goroutines. Time is read only for leases, notes and
// documents that expire, with time.Now, so that it stands still where
// testing/synctest makes it.
package memview
