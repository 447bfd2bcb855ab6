// Package order decides what may happen to an order once a cart was checked
// out: it is placed, paid, shipped, or cancelled.
//
// It is plain Go and knows nothing of stores, buses or Redis: an [Order] is
// the fold of its events, and each command is a method that answers with new
// events or with a [terms.Refusal].
package order
