package main

import "log/slog"

// quiet is a logger for tests that do not look at logs.
var quiet = slog.New(slog.DiscardHandler)
