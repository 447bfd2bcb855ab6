package main

import "sync"

// A job is one line of an import on its way.
type job struct {
	line   int
	run    func() // decides the command; nil for a line that needs none
	read   int64  // bytes of the file up to its end
	result verdict
	err    error
	done   chan struct{} // closed when result and err are set

	waiting int    // unfinished jobs before this one; guarded by window.mu
	after   []*job // jobs that wait for this one; guarded by window.mu
	keys    []string
}

// A window lets many jobs run at once while those that share a key run in the
// order in which they were added. Real files have long runs of lines about one
// cart, so a window is much larger than the number of jobs at work.
type window struct {
	ready chan *job
	wg    sync.WaitGroup

	mu   sync.Mutex
	last map[string]*job // the newest unfinished job of each key
}

// newWindow starts workers. At most size jobs may be unfinished at a time.
func newWindow(workers, size int) *window {
	w := &window{ready: make(chan *job, size), last: make(map[string]*job)}
	for range workers {
		w.wg.Go(func() {
			for j := range w.ready {
				j.run()
				w.finish(j)
			}
		})
	}
	return w
}

// add has j run once the jobs before it that share one of its keys are done.
func (w *window) add(j *job, keys ...string) {
	j.keys = keys
	w.mu.Lock()
	for _, key := range keys {
		if before := w.last[key]; before != nil {
			before.after = append(before.after, j)
			j.waiting++
		}
		w.last[key] = j
	}
	ready := j.waiting == 0
	w.mu.Unlock()
	if ready {
		w.ready <- j
	}
}

func (w *window) finish(j *job) {
	w.mu.Lock()
	var ready []*job
	for _, next := range j.after {
		if next.waiting--; next.waiting == 0 {
			ready = append(ready, next)
		}
	}
	for _, key := range j.keys {
		if w.last[key] == j {
			delete(w.last, key)
		}
	}
	w.mu.Unlock()
	close(j.done)
	for _, next := range ready {
		w.ready <- next // has room for every unfinished job
	}
}

// close waits until all jobs are done and ends the workers.
func (w *window) close() {
	close(w.ready)
	w.wg.Wait()
}
