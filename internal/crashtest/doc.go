// Package crashtest has tests that kill real processes with SIGKILL while they
// project events into a real Redis, and check that every document and counter
// is exact afterwards. It has no code of its own.
package crashtest
