// Package cart decides what may happen to a shopping cart.
//
// It is plain Go and knows nothing of stores, buses or Redis: a [Cart] is the
// fold of its events, and each command is a method that answers with new
// events or with a [terms.Refusal].
package cart
