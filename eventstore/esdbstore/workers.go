package esdbstore

import "time"

// workers are goroutines for calls. They wait a moment for the next one: gRPC
// goes deep, and growing a new stack each time costs a tenth of an append.
type workers chan func()

// linger is how long a worker waits.
const linger = time.Second

// do runs job in a worker that waits, or in a new one. Workers end when closing
// is closed.
func (w workers) do(closing <-chan struct{}, job func()) {
	select {
	case w <- job:
	default:
		go w.work(closing, job)
	}
}

func (w workers) work(closing <-chan struct{}, job func()) {
	idle := time.NewTimer(linger)
	defer idle.Stop()
	for {
		job()
		idle.Reset(linger)
		select {
		case job = <-w:
		case <-idle.C:
			return
		case <-closing:
			return
		}
	}
}
