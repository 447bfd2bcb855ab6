// Package archtest holds the shape of the module: which package may import
// which, and which third-party module each may use. Its tests fail when the
// tree and the tables in tables.go differ, and say what to do.
//
// The tables are the decision, the tree has to follow. A new package needs a
// row in arrows; a new dependency a row in thirdParty, or in thirdPartyTests
// when only tests use it, and the reason in the commit.
package archtest
