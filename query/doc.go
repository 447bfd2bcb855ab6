// Package query has the bus that takes questions to the one handler that
// answers them, and lets the asker say how fresh the answer must be.
//
//	queries := query.NewBus(nil)
//	query.Register(queries, func(ctx context.Context, q SummaryOf) (Summary, error) {
//		return summaries.Get(ctx, q.ID)
//	})
//	s, err := query.Ask[Summary](ctx, queries, SummaryOf{"42"}, query.After(receipt))
//
// Without [After] the handler answers from what is there. With it, every view
// that the handler reads first waits until it has reached the receipt's
// position; when that takes too long the answer is an
// [*eventstore.NotCaughtUpError], which says: committed, the view is late.
// The position travels in the context, so a handler hands its context on.
package query
