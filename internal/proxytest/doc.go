// Package proxytest spoils TCP connections for tests: it stands between a
// client and a server and cuts, delays or swallows what goes through it, also at
// the very request that a test names.
package proxytest
