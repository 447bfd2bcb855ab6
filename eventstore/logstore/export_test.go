package logstore

import "os"

// SetHooks replaces what touches the disk; a nil function stays the default.
func SetHooks(o *Options, write func(f *os.File, b []byte, off int64) (int, error), sync func(f *os.File) error) {
	d := (&Options{}).withDefaults()
	h := *d.hooks
	if write != nil {
		h.write = write
	}
	if sync != nil {
		h.sync = sync
	}
	o.hooks = &h
}

// Waiting returns how many appends wait for the leader.
func (s *Store) Waiting() int {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return len(s.queue.waiting)
}

// Refusing reports whether nothing is accepted any more.
func (s *Store) Refusing() bool {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return s.queue.refuse != nil
}

// Dir returns the store's directory.
func (s *Store) Dir() string { return s.dir }
