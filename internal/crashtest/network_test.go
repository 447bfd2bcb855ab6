package crashtest

import (
	"bytes"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/foldstream/foldstream/internal/proxytest"
	"github.com/foldstream/foldstream/internal/redistest"
)

// Connections break while batches are under way: before the server has them,
// when it has half of one, when it has carried one out and the answer is lost.
func TestConnectionsThatAreLostInACommitEndExactlyRight(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]proxytest.Fault{
		"Request": proxytest.LoseRequest,
		"Half":    proxytest.LoseHalf,
		"Answer":  proxytest.LoseAnswer,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var commits, faults atomic.Int64
			disturbed(t, func(p *proxytest.Proxy, w *watcher) {
				p.At(func(request []byte) proxytest.Fault {
					if !bytes.Contains(request, []byte("exec\r\n")) || commits.Add(1)%40 != 0 {
						return proxytest.None
					}
					faults.Add(1)
					return fault
				})
				waitFor(t, "faults", func() bool { return faults.Load() >= 40 })
				p.At(nil)
			})
		})
	}
}

// All connections are cut at any time.
func TestConnectionsThatAreCutAgainAndAgainEndExactlyRight(t *testing.T) {
	t.Parallel()
	disturbed(t, func(p *proxytest.Proxy, w *watcher) {
		for range 15 {
			w.more(rand.IntN(100) + 1)
			p.Cut()
		}
	})
}

// Answers come late or not at all.
func TestAnswersThatAreLateOrLostEndExactlyRight(t *testing.T) {
	t.Parallel()
	disturbed(t, func(p *proxytest.Proxy, w *watcher) {
		for range 3 {
			p.Delay(5 * time.Millisecond)
			p.Trickle(true)
			w.more(50)
			p.Delay(0)
			p.Trickle(false)

			was := w.checkpoints()
			p.Swallow(true)
			// What is under way is carried out all the same; nothing comes after it.
			waitFor(t, "everything to hang", func() bool {
				before := w.progress()
				time.Sleep(20 * time.Millisecond)
				return w.progress() == before
			})
			require.GreaterOrEqual(t, w.progress(), was.sum())
			p.Swallow(false)
			p.Cut()
			w.more(50)
		}
	})
}

// disturbed has two runners follow the view through a proxy while disturb is at
// work, and looks at the end of it.
func disturbed(t *testing.T, disturb func(*proxytest.Proxy, *watcher)) {
	t.Helper()
	server := redistest.Start(t)
	proxy := proxytest.Start(t, server.Addr())
	log := newTape("")
	require.NoError(t, log.grow(1000))
	for range 2 {
		run(t, log, connect(t, proxy.Addr()), "")
	}
	w := watch(t, server.Client(t), "", nil)
	w.done(1000)
	stop := log.load(t, 500)
	disturb(proxy, w)
	total := stop()
	w.done(total)
	w.end()
	newViews(server.Client(t), "").exact(t, log)
}
