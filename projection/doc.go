// Package projection builds views from events, keeps them level with the event
// store, and rebuilds them while they are read.
//
// A [Projection] says how events change a view; a [Runner] reads the events in
// order and applies them; a [ViewStore], such as package redisview, keeps the
// result:
//
//	summaries := redisview.NewCollection[Summary](rdb, "order-summary", nil)
//	view := projection.New("order-summary", events,
//		projection.On(summaries, Summary.placed),
//		projection.On(summaries, Summary.paid))
//	runner := projection.NewRunner(store, nil, view)
//	err := runner.Run(ctx)
//
// A view holds documents by key ([Collection]), members by key sorted by score
// ([Index]), members by key ([Set]), and numbers by key ([Counters]), filled by
// [On], [OnIndex], [OnSet] and [OnCount]. A [Lookup] finds documents by what is
// in them; [IndexBy] keeps it in step.
//
// # Guarantees
//
// Events are delivered to a projection at least once, and their effect on a
// view is exactly once. The keys of a view are hashed into partitions. What a
// batch of events changes in a partition is written in one atomic step with
// the partition's checkpoint, and only if the checkpoint is still the one that
// this worker wrote, epoch and position both. A worker that was restarted,
// duplicated, or woke up late can neither repeat nor overtake.
//
// Events of one key are applied in the order of their positions, because one
// reader feeds all partitions in order. An event that touches several
// partitions is applied exactly once in each, but not in all of them at one
// moment: a reader of several keys may see one before the other.
//
// # Sharing
//
// Runners with the same projections, in one process or many, share the
// partitions of each view by leases, and take over what one that has stopped,
// died or hangs leaves. Leases save work; safety comes from epochs. A runner
// reads the events once for all its views, and decodes each once.
//
// # Handlers
//
// Handlers are folds. They must depend on nothing but their arguments, or a
// rebuild will not give the same view again, and must not change what the old
// document refers to. An error or a panic of a handler, and an event that
// cannot be decoded, is poison: the event is parked, and with it the later
// events of its stream that concern the same partition, in order, in the same
// step that moves the checkpoint. Other streams go on. See [Runner.Parked],
// [Runner.RetryParked] and [Runner.DropParked].
//
// # Versions
//
// A view has versions. [Runner.Rebuild] fills a new one from the first event
// while the old one is read and followed, and then moves a pointer in one step;
// [Runner.RollBack] moves it back. [Runner.RebuildKeys] and
// [Runner.RebuildStream] put single keys of the active version right.
// A view's first version can be read once it has caught up for the first time;
// until then readers get [ErrNotBuilt]. A runner that finds a view built by
// another [Definition] builds a new version by itself.
package projection
