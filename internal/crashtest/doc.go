// Package crashtest has tests that break what views are built with: projectors
// are killed and stopped with signals, servers are killed, replaced by replicas
// that lag behind, and cut off in the middle of a commit. After each the whole
// content of the view is compared with the fold of the log, and checkpoints are
// watched all the time. It has no code of its own.
package crashtest
