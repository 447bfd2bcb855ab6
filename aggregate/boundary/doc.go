// Package boundary decides from events across streams: those that a rule is
// about, and no others. It is a dynamic consistency boundary, see
// https://dcb.events.
//
// A rule such as "a user name is unique" or "a course has no more students
// than seats, and a student no more than ten courses" needs no aggregate that
// holds all users, or all courses. Events carry tags that say what they are
// about, see [eventstore.Tagged]. A [Model] folds the events of some types with some tags
// into a small state, and [Compose] makes one of several. [Execute] reads
// exactly those events, has a function decide from the state, and appends what
// it returned on the condition that no further event of the model has come in
// between; if one has, it decides again.
//
// A command that carries an id is recognized when it comes again, at any later
// time: by the events that it led to.
//
// The store must be an [eventstore.Conditional]; [New] says so when it is not.
package boundary
