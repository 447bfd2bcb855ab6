// Package terms has the words that cart and order share: lines, money, and
// refusals that name the rule they stand for.
//
// Like cart and order it is plain Go: it imports nothing but the standard
// library.
package terms
