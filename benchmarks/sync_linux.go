package main

import (
	"os"
	"syscall"
)

// datasync is fdatasync, which logstore uses too.
func datasync(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }
