package boundary_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/aggregate"
	"github.com/foldstream/foldstream/aggregate/boundary"
	"github.com/foldstream/foldstream/eventstore"
	"github.com/foldstream/foldstream/eventstore/codec"
	"github.com/foldstream/foldstream/eventstore/eventstoretest"
	"github.com/foldstream/foldstream/eventstore/logstore"
	"github.com/foldstream/foldstream/eventstore/memstore"
)

func newBoundary(t testing.TB, store eventstore.Store) *boundary.Boundary {
	t.Helper()
	b, err := boundary.New(store, facts, nil)
	require.NoError(t, err)
	return b
}

func openLog(t testing.TB, dir string) *logstore.Store {
	t.Helper()
	s, err := logstore.Open(dir, &logstore.Options{SegmentSize: 4096})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func withID(ctx context.Context, id string) context.Context {
	return eventstore.ContextWithOrigin(ctx, &eventstore.Origin{CommandID: id, CorrelationID: "c-1", Metadata: eventstore.NewMetadata("tenant", "t")})
}

func execute[S any](ctx context.Context, b *boundary.Boundary, stream string, m boundary.Model[S], events ...any) (eventstore.Receipt, error) {
	return boundary.Execute(ctx, b, stream, m, func(S) ([]any, error) { return events, nil })
}

// No course is ever oversold and no student takes too many, whoever comes at
// the same time.
func TestRulesHoldAmongManyCallers(t *testing.T) {
	t.Parallel()
	for name, store := range map[string]eventstore.Store{"memstore": memstore.New(nil), "logstore": openLog(t, t.TempDir())} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const courses, seats, students = 4, 5, 9
			b := newBoundary(t, store)
			for c := range courses {
				offer(t.Context(), b, fmt.Sprint(c), seats)
			}
			handle := boundary.Handle(b, enroll.about, enrolment.enroll)
			var all sync.WaitGroup
			for s := range students {
				all.Go(func() {
					for c := range courses + 1 {
						_, err := handle(t.Context(), enroll{fmt.Sprint((c + s) % (courses + 1)), fmt.Sprint(s)})
						if err != nil {
							assert.True(t, errors.Is(err, errFull) || errors.Is(err, errTooMany) || errors.Is(err, errNoSuchCourse), "%v", err)
						}
					}
				})
			}
			all.Wait()
			taken := 0
			for c := range courses {
				l, err := boundary.Load(t.Context(), b, enrolments(course(fmt.Sprint(c))))
				require.NoError(t, err)
				assert.LessOrEqual(t, l.State, seats)
				taken += l.State
			}
			for s := range students {
				l, err := boundary.Load(t.Context(), b, enrolments(student(fmt.Sprint(s))))
				require.NoError(t, err)
				assert.LessOrEqual(t, l.State, coursesPerStudent)
				taken -= l.State
			}
			assert.Zero(t, taken)
		})
	}
}

func TestARepeatedCommandGetsItsFirstReceipt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := openLog(t, dir)
	b := newBoundary(t, s)
	ctx := withID(t.Context(), "command,1")
	first, err := execute(ctx, b, "course-a", seatsOf("a"), courseOffered{"a", 5}, seatsChanged{"a", 6}, enrolled{"b", "s"})
	require.NoError(t, err)
	// Of these nothing will be found by the model.
	second, err := execute(withID(t.Context(), "2"), b, "course-b", seatsOf("b"), untagged{1}, untagged{2})
	require.NoError(t, err)
	_, err = execute(t.Context(), b, "course-a", seatsOf("a"), seatsChanged{"a", 7})
	require.NoError(t, err)
	first.Repeated, second.Repeated = true, true
	never := func(int) ([]fact, error) { panic("a repeat is not decided") }
	again := func() {
		t.Helper()
		got, err := boundary.Execute(ctx, b, "course-a", seatsOf("a"), never)
		require.NoError(t, err)
		assert.Equal(t, first, got)
		got, err = boundary.Execute(withID(t.Context(), "2"), b, "course-b", seatsOf("b"), never)
		require.NoError(t, err)
		assert.Equal(t, second, got)
	}
	again()
	require.NoError(t, s.Close())
	b = newBoundary(t, openLog(t, dir))
	again()
	r, err := execute(ctx, b, "course-other", seatsOf("x"), courseOffered{"x", 1})
	require.NoError(t, err)
	assert.False(t, r.Repeated, "a command changes each stream once")
}

func TestAnAnswerThatWasLost(t *testing.T) {
	t.Parallel()
	f := eventstoretest.NewFaulty(memstore.New(nil))
	b := newBoundary(t, f)
	f.FailAppend(1, true)
	ctx := withID(t.Context(), "1")
	_, err := execute(ctx, b, "user-1", nameIsTaken("ada"), nameClaimed{"ada", "1"})
	require.ErrorIs(t, err, eventstore.ErrUnavailable)
	r, err := execute(ctx, b, "user-1", nameIsTaken("ada"), nameClaimed{"ada", "1"})
	require.NoError(t, err)
	assert.Equal(t, eventstore.Receipt{Stream: "user-1", Version: 1, Position: 1, Repeated: true}, r)
	f.FailRead(0)
	_, err = execute(t.Context(), b, "user-1", nameIsTaken("ada"), nameClaimed{"ada", "1"})
	require.ErrorIs(t, err, eventstoretest.ErrInjected)
}

func TestEventsSayWhereTheyComeFrom(t *testing.T) {
	t.Parallel()
	s := memstore.New(nil)
	b := newBoundary(t, s)
	_, err := execute(withID(t.Context(), "1"), b, "course-a", seatsOf("a"), enrolled{"a", "s"}, courseOffered{"a", 1})
	require.NoError(t, err)
	_, err = execute(t.Context(), b, "course-a", seatsOf("a"), seatsChanged{"a", 2})
	require.NoError(t, err)
	var all []map[string]string
	for r, err := range s.ReadAll(t.Context(), eventstore.ReadAllOptions{}) {
		require.NoError(t, err)
		all = append(all, r.Metadata.Map())
	}
	require.Len(t, all, 3)
	assert.Equal(t, map[string]string{"tags": "course:a,student:s", "command_id": "1", "$correlationId": "c-1", "tenant": "t"}, all[0])
	assert.Equal(t, "course:a", all[1]["tags"])
	assert.NotEmpty(t, all[2]["command_id"])
}

func TestItDecidesAgainOnWhatHasCome(t *testing.T) {
	t.Parallel()
	b := newBoundary(t, memstore.New(nil))
	offer(t.Context(), b, "a", 10)
	var seen []enrolment
	c := enroll{"a", "me"}
	stream, m := c.about()
	r, err := boundary.Execute(t.Context(), b, stream, m, func(e enrolment) ([]fact, error) {
		if seen = append(seen, e); len(seen) < 4 { // somebody is faster; what others do elsewhere is no matter
			for _, e := range []fact{enrolled{"a", fmt.Sprint(len(seen))}, enrolled{"b", "other"}} {
				_, err := execute(t.Context(), b, "faster", seatsOf("none"), e)
				require.NoError(t, err)
			}
		}
		return e.enroll(c)
	})
	require.NoError(t, err)
	assert.EqualValues(t, 2, r.Version)
	assert.Equal(t, []enrolment{{10, 0, 0, 0}, {10, 1, 0, 0}, {10, 2, 0, 0}, {10, 3, 0, 0}}, seen)
}

func TestRetriesEnd(t *testing.T) {
	t.Parallel()
	s := memstore.New(nil)
	b, err := boundary.New(s, facts, &boundary.Options{Retries: 2})
	require.NoError(t, err)
	other := newBoundary(t, s)
	decided := 0
	_, err = boundary.Execute(t.Context(), b, "a", enrolments(course("a")), func(int) ([]fact, error) {
		decided++
		_, err := execute(t.Context(), other, "b", seatsOf("none"), enrolled{"a", "s"})
		require.NoError(t, err)
		return []fact{enrolled{"a", "me"}}, nil
	})
	require.ErrorIs(t, err, eventstore.ErrConflict)
	var refused *eventstore.ConditionError
	require.ErrorAs(t, err, &refused)
	assert.EqualValues(t, 3, refused.Position)
	assert.Equal(t, 3, decided)
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	s := memstore.New(nil)
	b := newBoundary(t, s)
	_, err := boundary.New(struct{ eventstore.Store }{s}, facts, nil)
	require.ErrorIs(t, err, eventstore.ErrUnsupported)
	require.ErrorContains(t, err, "use logstore or memstore")

	_, err = boundary.Handle(b, enroll.about, enrolment.enroll)(t.Context(), enroll{"none", "s"})
	require.ErrorIs(t, err, errNoSuchCourse)
	refused, ok := errors.AsType[*aggregate.RefusedError](err)
	require.True(t, ok)
	assert.Equal(t, "course-none", refused.Stream)

	_, err = execute(t.Context(), b, "a", seatsOf("a"), enrolled{"a,b", "s"})
	require.ErrorIs(t, err, eventstore.ErrInvalid)
	_, err = execute(t.Context(), b, "a", seatsOf("a,b"))
	require.ErrorIs(t, err, eventstore.ErrInvalid)
	type unknown struct{}
	_, err = execute(t.Context(), b, "a", boundary.Fold(0, nil, boundary.When(func(int, unknown) int { return 1 })), enrolled{})
	require.ErrorContains(t, err, "boundary_test.unknown")
	_, err = execute(t.Context(), b, "a", seatsOf("a"), unknown{})
	require.ErrorIs(t, err, codec.ErrUnregistered)
	_, err = execute(t.Context(), b, "a", boundary.Compose[int](), enrolled{})
	require.ErrorIs(t, err, eventstore.ErrInvalid)
	require.Panics(t, func() { boundary.Fold(0, nil) })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = execute(ctx, b, "a", seatsOf("a"), courseOffered{"a", 1})
	require.ErrorIs(t, err, context.Canceled)

	r, err := execute(t.Context(), b, "a", seatsOf("a"))
	require.NoError(t, err)
	assert.Equal(t, eventstore.Receipt{Stream: "a"}, r, "nothing was decided, nothing was written")
	head, err := s.Head(t.Context())
	require.NoError(t, err)
	assert.Zero(t, head)
}

// upcasting reads one stored event as two.
type upcasting struct{ eventstore.Codec }

func (c upcasting) Decode(r eventstore.Recorded) (any, error) {
	v, err := c.Codec.Decode(r)
	if e, ok := v.(courseOffered); ok {
		return eventstore.Several{e, enrolled{e.Course, "teacher"}, seatsChanged{e.Course, e.Seats + 1}}, err
	}
	return v, err
}

func TestEventsThatStandForSeveral(t *testing.T) {
	t.Parallel()
	b, err := boundary.New(memstore.New(nil), upcasting{facts}, nil)
	require.NoError(t, err)
	offer(t.Context(), b, "a", 4)
	l, err := boundary.Load(t.Context(), b, seatsOf("a"))
	require.NoError(t, err)
	assert.Equal(t, 5, l.State)
	assert.EqualValues(t, 1, l.Position)
}

func BenchmarkExecute(b *testing.B) {
	bd := newBoundary(b, memstore.New(nil))
	handle := boundary.Handle(bd, enroll.about, func(_ enrolment, c enroll) ([]fact, error) { return []fact{seatsChanged{c.Course, 1}}, nil })
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := handle(b.Context(), enroll{fmt.Sprint(i), "s"}); err != nil {
			b.Fatal(err)
		}
	}
}
