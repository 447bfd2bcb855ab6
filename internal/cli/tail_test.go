package cli_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/internal/cli"
)

// A tailing is a tail under way.
type tailing struct {
	lines *bufio.Reader
	stop  context.CancelFunc
	code  chan int
}

func (r *rig) tail(t *testing.T, args ...string) *tailing {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	out, in := io.Pipe()
	f := &tailing{lines: bufio.NewReader(out), stop: stop, code: make(chan int, 1)}
	go func() {
		f.code <- cli.RunWith(ctx, append([]string{"streams", "tail"}, args...), strings.NewReader(""), in, io.Discard, r.open)
		_ = in.Close()
	}()
	t.Cleanup(stop)
	return f
}

func (f *tailing) next(t *testing.T) string {
	t.Helper()
	line, err := f.lines.ReadString('\n')
	require.NoError(t, err)
	return line
}

func TestTailShowsEventsAsTheyCome(t *testing.T) {
	t.Parallel()
	r := newRig()
	r.seed(t)
	f := r.tail(t, "order-1", "--from", "start")
	assert.Contains(t, f.next(t), `"version":1`)
	assert.Contains(t, f.next(t), `"version":2`)
	r.must(t, "append", "cart-9", "-t", "other")
	r.must(t, "append", "order-1", "-t", "order.shipped")
	assert.Contains(t, f.next(t), `"order.shipped"`)
	f.stop()
	assert.Zero(t, <-f.code, "an interruption is its normal end")
}

func TestTailChooses(t *testing.T) {
	t.Parallel()
	r := newRig()
	r.seed(t)
	for _, c := range []struct {
		args []string
		want string // the first line it shows
	}{
		{[]string{"--from", "start"}, `"position":1,`},
		{[]string{"--from", "1"}, `"position":2,`},
		{[]string{"$all", "--from", "start", "-t", "order.paid"}, `"position":3,`},
		{[]string{"$all", "--from", "start", "--category", "cart"}, `"position":2,`},
		{[]string{"order-1", "--from", "1"}, `"version":2,`},
		{[]string{"order-1", "--from", "start", "-t", "order.paid"}, `"version":2,`},
		{[]string{"$all", "--from", "3", "-o", "table"}, "POSITION"},
	} {
		f := r.tail(t, c.args...)
		assert.Contains(t, f.next(t), c.want, c.args)
		f.stop()
	}
}

// From the end is the default; a stream need not be there yet.
func TestTailFromTheEnd(t *testing.T) {
	t.Parallel()
	r := newRig()
	r.seed(t)
	all, order, none := r.tail(t), r.tail(t, "order-1"), r.tail(t, "none-1", "-o", "table")
	// Whoever looks for the end must have found it before more comes: repeat
	// until each has shown something.
	done := make(chan string, 3)
	for _, f := range []*tailing{all, order, none} {
		go func() {
			line, _ := f.lines.ReadString('\n')
			done <- line
		}()
	}
	var got []string
	for len(got) < 3 {
		r.must(t, "append", "order-1", "-t", "new")
		r.must(t, "append", "none-1", "-t", "new")
		select {
		case line := <-done:
			got = append(got, line)
		default:
		}
	}
	for _, line := range got {
		assert.NotContains(t, line, "placed", "that was before")
	}
}

// A writer that nobody reads from, as after | head.
type brokenPipe struct{ writes int }

func (b *brokenPipe) Write(p []byte) (int, error) {
	if b.writes++; b.writes > 1 {
		return 0, errors.New("written to after it broke")
	}
	return 0, &pathError{}
}

type pathError struct{}

func (*pathError) Error() string { return "write |1: broken pipe" }
func (*pathError) Unwrap() error { return syscall.EPIPE }

func TestABrokenPipeEndsQuietly(t *testing.T) {
	t.Parallel()
	r := newRig()
	r.seed(t)
	for _, args := range [][]string{
		{"read", "order-1"}, {"read", "$all", "-o", "table"}, {"list"}, {"list", "-o", "table"},
		{"tail", "--from", "start"}, {"append", "x", "-t", "y"}, {"delete", "order-1"},
	} {
		var notes strings.Builder
		code := cli.RunWith(t.Context(), append([]string{"streams"}, args...), strings.NewReader(""), &brokenPipe{}, &notes, r.open)
		assert.Zero(t, code, args)
		assert.Empty(t, notes.String(), args)
	}
}
