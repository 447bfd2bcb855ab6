package esdbstore

// What the tests look at from outside.
var (
	Backoff  = backoff
	Pushed   = pushed
	Portable = portable
)
