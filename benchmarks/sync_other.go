//go:build !linux

package main

import "os"

// datasync is what comes nearest to fdatasync.
func datasync(f *os.File) error { return f.Sync() }
